// Runs every suite in vendors/, each against a sandbox of its own, and counts.
//
// A suite is `export default async ({ test, open }) => …`: `open()` starts a sandbox (`open({ faults: "throttle=1" })` one in
// which things go wrong) and gives what it says of itself; `test(title, body)` notes a test. Tests run one after another.

import { spawn } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [count, ...wanted] = process.argv.slice(2);
const LIMIT = 120_000;
const running = [];

/** A sandbox on free ports; it ends by itself if nobody ends it. */
async function open({ faults = "" } = {}) {
  const args = ["sandbox", "--json", "--seed", "1", "--for", "900", ...(faults ? ["--faults", faults] : [])];
  const child = spawn(process.env.LOOPD, args, { stdio: ["ignore", "pipe", "inherit"] });
  running.push(child);
  for await (const line of createInterface({ input: child.stdout })) {
    return JSON.parse(line);
  }
  throw new Error("loopd sandbox said nothing");
}

function close() {
  for (const child of running.splice(0)) {
    child.kill("SIGTERM");
  }
}

async function within(body) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${LIMIT / 1000} s`)), LIMIT);
  });
  try {
    await Promise.race([body(), late]);
  } finally {
    clearTimeout(timer);
  }
}

let passed = 0;
let failed = 0;

async function attempt(title, body) {
  try {
    await within(body);
    passed += 1;
    console.log(`ok      ${title}`);
  } catch (error) {
    failed += 1;
    console.log(`NOT OK  ${title}\n${String(error?.stack ?? error).replace(/^/gm, "        ")}`);
  }
}

process.on("exit", close);
const here = new URL("./vendors/", import.meta.url);
const suites = readdirSync(here).filter((file) => file.endsWith(".mjs")).sort();
for (const file of suites) {
  const vendor = file.replace(/\.mjs$/, "");
  if (wanted.length > 0 && !wanted.includes(vendor)) {
    continue;
  }
  const tests = [];
  try {
    const { default: suite } = await import(pathToFileURL(new URL(file, here).pathname).href);
    await suite({ open, test: (title, body) => tests.push([title, body]) });
  } catch (error) {
    tests.push(["its suite begins", () => Promise.reject(error)]);
  }
  for (const [title, body] of tests) {
    await attempt(`${vendor} (node): ${title}`, body);
  }
  close();
}
writeFileSync(count, `${passed} ${failed}\n`);
process.exit(failed > 0 ? 1 : 0);
