// @segment/analytics-node against loopd itself, which is what receives it: a daemon with a ledger of its own, asked by `loopd usage`.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { Analytics } from "@segment/analytics-node";

const writeKey = "wk_sandbox";

export default async ({ test, serve }) => {
  const connection = '[connection.segment]\nkind = "segment"\nwebhook = true\nwrite_key = { env = "SEGMENT_WRITE_KEY" }\n';
  const daemon = await serve(connection, { SEGMENT_WRITE_KEY: writeKey });
  const client = (more = {}) => {
    const analytics = new Analytics({ writeKey, host: daemon.url, flushInterval: 50, ...more });
    const calls = { sent: 0, answers: [], errors: [], retries: [] };
    analytics.on("http_request", ({ headers }) => {
      calls.sent += 1;
      calls.retries.push(headers["X-Retry-Count"]);
    });
    analytics.on("http_response", ({ status }) => calls.answers.push(status));
    analytics.on("error", ({ reason }) => calls.errors.push(String(reason?.message ?? reason)));
    return [analytics, calls];
  };
  const rows = async (feature) => (await daemon.ask("usage", "--feature", feature)).rows;
  const counted = async (feature) => (await rows(feature)).reduce((sum, row) => sum + row.events, 0);

  test("what is used is counted for the account, the feature and the people", async () => {
    const [analytics, calls] = client();
    analytics.identify({ userId: "ada", traits: { email: "ada@lumen.example" } });
    analytics.group({ userId: "bo", groupId: "acme-1" });
    analytics.track({ userId: "ada", event: "Export" });
    analytics.track({ userId: "ada", event: "Export", properties: { rows: 12 } });
    analytics.track({ userId: "bo", event: "Export" });
    analytics.track({ userId: "cy", event: "Export", context: { groupId: "acme-1" } });
    analytics.page({ userId: "ada", name: "Home" });
    analytics.screen({ userId: "ada", name: "Home" });
    await analytics.flush({ close: true });
    assert.deepEqual([calls.errors, new Set(calls.answers)], [[], new Set([200])]);
    const told = (await rows("Export")).map((row) => [row.account, row.events, row.users]).sort();
    assert.deepEqual(told, [["acme-1", 2, 2], ["lumen.example", 2, 1]]);
    assert.equal(await counted("Home"), 0, "pages are no features unless they are asked for");
  });

  test("another name of somebody is somebody", async () => {
    const [analytics] = client();
    analytics.alias({ previousId: "anonymous-7", userId: "ada" });
    analytics.track({ userId: "anonymous-7", event: "Import" });
    await analytics.flush({ close: true });
    assert.deepEqual((await rows("Import")).map((row) => [row.account, row.events]), [["lumen.example", 1]]);
  });

  test("many events go in batches, and all of them arrive", async () => {
    const [analytics, calls] = client({ flushAt: 100 });
    for (let at = 0; at < 250; at += 1) {
      analytics.track({ userId: `u${at % 7}`, event: "Search", context: { groupId: "acme-1" } });
    }
    await analytics.flush({ close: true });
    assert.equal(calls.sent, 3);
    assert.deepEqual((await rows("Search")).map((row) => [row.events, row.users]), [[250, 7]]);
  });

  test("the same message counts once, whenever it comes", async () => {
    for (let time = 0; time < 2; time += 1) {
      const [analytics, calls] = client();
      analytics.track({ userId: "ada", event: "Share", messageId: "fixed-1" });
      analytics.track({ userId: "ada", event: "Share", messageId: "fixed-1" });
      analytics.track({ userId: "ada", event: "Share", messageId: `own-${time}` });
      await analytics.flush({ close: true });
      assert.deepEqual(calls.errors, []);
    }
    assert.equal(await counted("Share"), 3);
  });

  test("an answer that is lost on the way is asked for again, and nothing counts twice", async () => {
    // A proxy that passes the first request on, and swallows what came back.
    const heard = [];
    const proxy = createServer(async (request, response) => {
      const chunks = [];
      for await (const chunk of request) {
        chunks.push(chunk);
      }
      const body = Buffer.concat(chunks);
      const { authorization, "content-type": type } = request.headers;
      const answer = await fetch(daemon.url + request.url, { method: "POST", headers: { authorization, "content-type": type }, body });
      heard.push([answer.status, request.headers["x-retry-count"]]);
      response.writeHead(heard.length === 1 ? 502 : answer.status).end(await answer.text());
    });
    await new Promise((listening) => proxy.listen(0, "127.0.0.1", listening));
    try {
      const [analytics, calls] = client({ host: `http://127.0.0.1:${proxy.address().port}` });
      for (let at = 0; at < 5; at += 1) {
        analytics.track({ userId: "ada", event: "Print" });
      }
      await analytics.flush({ close: true });
      assert.deepEqual([calls.answers, calls.errors], [[502, 200], []]);
      assert.deepEqual(heard, [[200, undefined], [200, "1"]]);
    } finally {
      proxy.close();
    }
    assert.equal(await counted("Print"), 5);
  });

  test("a daemon whose disk is full says so, and the client keeps what it has", async () => {
    await daemon.kill();
    // More than any disk has free.
    await daemon.start("keep_free_mb = 1000000000");
    const [analytics, calls] = client();
    analytics.track({ userId: "ada", event: "Upload" });
    const done = analytics.flush({ close: true });
    while (calls.answers.length === 0) {
      await new Promise((next) => analytics.once("http_response", next));
    }
    assert.deepEqual(calls.answers, [503]);
    await daemon.kill();
    await daemon.start();
    await done;
    assert.deepEqual([calls.answers.at(-1), calls.errors], [200, []]);
    assert.equal(await counted("Upload"), 1);
    assert.equal(await counted("Search"), 250, "what was answered for is there, whatever became of the daemon");
  });

  test("another key is refused, and given up", async () => {
    const [analytics, calls] = client({ writeKey: "wk_other" });
    analytics.track({ userId: "ada", event: "Forged" });
    await analytics.flush({ close: true });
    assert.deepEqual([calls.answers, calls.errors.length], [[401], 1]);
    assert.match(calls.errors[0], /401/);
    assert.equal(await counted("Forged"), 0);
  });
};
