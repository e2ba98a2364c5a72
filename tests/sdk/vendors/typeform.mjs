// @typeform/api-client, as its users use it: forms, responses by page and by time, webhooks.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "@typeform/api-client";

export default async ({ test, open }) => {
  const sandbox = await open();
  const { base_url: apiBaseUrl, token } = sandbox.vendors.typeform;
  const uid = sandbox.form;
  const typeform = createClient({ token, apiBaseUrl });
  // Two calls a second is all that an account has.
  const paced = async (call) => {
    await sleep(520);
    return call();
  };
  const refused = async (call, code, words) => {
    await assert.rejects(() => paced(call), (error) => {
      assert.equal(error.code, code);
      assert.match(error.message, words);
      return true;
    });
  };

  test("forms are made, listed, read, changed and deleted", async () => {
    const data = {
      title: "Beta survey",
      hidden: ["company"],
      fields: [
        { title: "How likely?", type: "nps", ref: "nps" },
        { title: "About", type: "group", ref: "about", properties: { fields: [{ title: "Role", type: "short_text", ref: "role" }] } },
      ],
    };
    const made = await paced(() => typeform.forms.create({ data }));
    assert.ok(made.id && made.fields[0].id && made.fields[1].properties.fields[0].id);
    assert.ok(made._links.responses.startsWith(apiBaseUrl), made._links.responses);
    const listed = await paced(() => typeform.forms.list({ page: 1, pageSize: 1, search: "beta" }));
    assert.deepEqual([listed.total_items, listed.page_count, listed.items[0].id], [1, 1, made.id]);
    assert.equal((await paced(() => typeform.forms.get({ uid: made.id }))).fields[0].ref, "nps");
    await paced(() => typeform.forms.update({ uid: made.id, data: [{ op: "replace", path: "/title", value: "Gamma" }] }));
    const replaced = { ...data, title: "Delta", fields: data.fields.slice(0, 1) };
    const put = await paced(() => typeform.forms.update({ uid: made.id, override: true, data: replaced }));
    assert.deepEqual([put.title, put.fields.length], ["Delta", 1]);
    await paced(() => typeform.forms.delete({ uid: made.id }));
    await refused(() => typeform.forms.get({ uid: made.id }), "FORM_NOT_FOUND", /Non existing form/);
  });

  test("every form comes by itself, page after page", async () => {
    const all = await paced(() => typeform.forms.list({ page: "auto" }));
    assert.equal(all.items.length, all.total_items);
    assert.ok(all.items.some((form) => form.id === uid));
  });

  test("responses come newest first, and by token in both directions", async () => {
    const first = await paced(() => typeform.responses.list({ uid, pageSize: 10 }));
    assert.deepEqual([first.items.length, first.total_items, first.page_count], [10, 1100, 110]);
    const times = first.items.map((item) => item.submitted_at);
    assert.deepEqual(times, [...times].sort().reverse());
    const before = first.items.at(-1).token;
    const second = await paced(() => typeform.responses.list({ uid, pageSize: 10, before }));
    assert.ok(second.items.every((item) => item.submitted_at < first.items.at(-1).submitted_at));
    assert.equal(second.total_items, 1090);
    const after = await paced(() => typeform.responses.list({ uid, pageSize: 10, after: before }));
    assert.equal(after.total_items, 9);
    const [answer] = first.items[0].answers;
    assert.deepEqual([answer.type, typeof answer.number, answer.field.type], ["number", "number", "nps"]);
    assert.equal(first.items[0].hidden.company, "Lumen Example");
  });

  test("all responses come, page after page", async () => {
    const all = await paced(() => typeform.responses.list({ uid, page: "auto" }));
    assert.equal(new Set(all.items.map((item) => item.response_id)).size, 1100);
  });

  test("since and until include their second", async () => {
    const page = await paced(() => typeform.responses.list({ uid, pageSize: 50 }));
    const [until, since] = [page.items[5].submitted_at, page.items[9].submitted_at];
    const window = await paced(() => typeform.responses.list({ uid, since, until }));
    assert.deepEqual(window.items.map((item) => item.token), page.items.slice(5, 10).map((item) => item.token));
    const unix = String(Math.floor(Date.parse(since) / 1000));
    assert.equal((await paced(() => typeform.responses.list({ uid, since: unix }))).total_items, 10);
  });

  test("responses are found by id, by words, sorted, and cut to some answers", async () => {
    const page = await paced(() => typeform.responses.list({ uid, pageSize: 3 }));
    const ids = [page.items[0].response_id, page.items[2].response_id];
    const some = await paced(() => typeform.responses.list({ uid, ids }));
    assert.deepEqual(some.items.map((item) => item.response_id), ids);
    const found = await paced(() => typeform.responses.list({ uid, query: "Reason 1099." }));
    assert.deepEqual(found.items.map((item) => item.answers[1].text), ["Reason 1099."]);
    const oldest = await paced(() => typeform.responses.list({ uid, pageSize: 1, sort: "submitted_at,asc", fields: "why" }));
    assert.deepEqual(oldest.items[0].answers.map((answer) => answer.text), ["Reason 0."]);
    assert.equal((await paced(() => typeform.responses.list({ uid, completed: false }))).total_items, 0);
  });

  test("a response is deleted by its token", async () => {
    const page = await paced(() => typeform.responses.list({ uid, pageSize: 2 }));
    await paced(() => typeform.responses.delete({ uid, ids: [page.items[1].token] }));
    const left = await paced(() => typeform.responses.list({ uid, ids: page.items.map((item) => item.token) }));
    assert.deepEqual(left.items.map((item) => item.token), [page.items[0].token]);
  });

  test("webhooks are made, listed, switched, changed and deleted", async () => {
    const url = "http://127.0.0.1:9/hook";
    const made = await paced(() => typeform.webhooks.create({ uid, tag: "sdk", url, secret: "s" }));
    assert.deepEqual([made.tag, made.url, made.enabled, made.form_id, made.secret], ["sdk", url, false, uid, undefined]);
    await paced(() => typeform.webhooks.toggle({ uid, tag: "sdk", enabled: true }));
    const got = await paced(() => typeform.webhooks.get({ uid, tag: "sdk" }));
    assert.deepEqual([got.enabled, got.url, got.id], [true, url, made.id]);
    const changed = await paced(() => typeform.webhooks.update({ uid, tag: "sdk", url: `${url}/2`, enabled: true, verifySSL: true }));
    assert.deepEqual([changed.url, changed.verify_ssl], [`${url}/2`, true]);
    assert.deepEqual((await paced(() => typeform.webhooks.list({ uid }))).items.map((hook) => hook.tag), ["sdk"]);
    await paced(() => typeform.webhooks.delete({ uid, tag: "sdk" }));
    await refused(() => typeform.webhooks.get({ uid, tag: "sdk" }), "NOT_FOUND", /not found/i);
    await refused(() => typeform.webhooks.delete({ uid, tag: "sdk" }), "NOT_FOUND", /not found/i);
  });

  test("what is wrong is refused in Typeform's words", async () => {
    await refused(() => typeform.forms.get({ uid: "nowhere" }), "FORM_NOT_FOUND", /Non existing form/);
    await refused(() => typeform.responses.list({ uid, pageSize: 1001 }), "VALIDATION_ERROR", /payload/);
    await refused(() => typeform.responses.list({ uid, sort: "submitted_at,asc", before: "x" }), "VALIDATION_ERROR", /payload/);
    await refused(() => typeform.forms.create({ data: {} }), "VALIDATION_ERROR", /payload/);
    await refused(() => typeform.webhooks.toggle({ uid, tag: "none", enabled: true }), "VALIDATION_ERROR", /payload/);
    const stranger = createClient({ token: "tfp_wrong", apiBaseUrl });
    await refused(() => stranger.forms.list(), "AUTHENTICATION_FAILED", /credentials/i);
    await refused(() => createClient({ apiBaseUrl }).forms.list(), "AUTHENTICATION_FAILED", /credentials/i);
  });

  test("a third call within the second is too many", async () => {
    await sleep(1100);
    const asked = await Promise.allSettled([1, 2, 3, 4].map(() => typeform.forms.get({ uid })));
    const failed = asked.filter((one) => one.status === "rejected");
    assert.equal(failed.length, 2);
    assert.ok(failed.every((one) => one.reason.code === "TOO_MANY_REQUESTS"));
    await sleep(1100);
    assert.equal((await typeform.forms.get({ uid })).id, uid);
  });
};
