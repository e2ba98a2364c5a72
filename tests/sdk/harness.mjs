// Runs every suite in vendors/, each against a sandbox of its own, and counts.
//
// A suite is `export default async ({ test, open, serve }) => …`: `open()` starts a sandbox (`open({ faults: "throttle=1" })` one
// in which things go wrong) and gives what it says of itself; `serve(connections, env)` makes a daemon, for what loopd receives
// itself; `test(title, body)` notes a test. Tests run one after another.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [count, ...wanted] = process.argv.slice(2);
const LIMIT = 120_000;
const running = [];
const homes = [];

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

/** `loopd run` with these connections (TOML), on a ledger and a port of its own that it keeps from start to start. */
class Daemon {
  #home = mkdtempSync(join(tmpdir(), "loopd-sdk-"));
  #config = join(this.#home, "config.toml");
  #address = "127.0.0.1:0";
  #child;

  constructor(connections, env) {
    homes.push(this.#home);
    this.connections = connections;
    this.env = { ...process.env, ...env };
  }

  get url() {
    return `http://${this.#address}`;
  }

  /** `more`: further settings, TOML. */
  async start(more = "") {
    const http = `[http]\nlisten = "${this.#address}"\npublic_url = "https://loopd.example.com"\n[log]\nformat = "json"\n`;
    const ledger = `[ledger]\npath = ${JSON.stringify(join(this.#home, "ledger"))}\n`;
    writeFileSync(this.#config, `${ledger}${more}\n${http}${this.connections}`);
    this.#child = spawn(process.env.LOOPD, ["--config", this.#config, "run"], { env: this.env, stdio: ["ignore", "ignore", "pipe"] });
    running.push(this.#child);
    const lines = [];
    await new Promise((ready, dead) => {
      createInterface({ input: this.#child.stderr }).on("line", (line) => {
        lines.push(line);
        if (line.includes('"loopd is ready"')) {
          this.#address = JSON.parse(line).address;
          ready();
        }
      });
      this.#child.once("exit", () => dead(new Error(`loopd run has ended: ${lines.join("\n")}`)));
    });
  }

  /** As a machine goes down: without a word. */
  async kill() {
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await gone;
  }

  /** What a command says of it: `ask("usage")`. */
  ask(...words) {
    return new Promise((said, failed) => {
      execFile(process.env.LOOPD, ["--config", this.#config, "--json", ...words], { env: this.env }, (error, stdout) =>
        error ? failed(error) : said(JSON.parse(stdout)),
      );
    });
  }
}

async function serve(connections, env = {}) {
  const daemon = new Daemon(connections, env);
  await daemon.start();
  return daemon;
}

function close() {
  for (const child of running.splice(0)) {
    child.kill("SIGKILL");
  }
  for (const home of homes.splice(0)) {
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
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
    await suite({ open, serve, test: (title, body) => tests.push([title, body]) });
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
