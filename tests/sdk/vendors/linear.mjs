// @linear/sdk, as its users use it: teams, issues, labels, attachments, comments, customers, pages, webhooks.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { LinearClient } from "@linear/sdk";

export default async ({ test, open }) => {
  const sandbox = await open();
  const { base_url: apiUrl, token: apiKey } = sandbox.vendors.linear;
  const linear = new LinearClient({ apiKey, apiUrl });
  const team = async () => {
    const { nodes } = await linear.teams({ filter: { key: { eq: sandbox.team } } });
    return nodes[0];
  };
  const issue = async (input) => {
    const made = await linear.createIssue({ teamId: (await team()).id, ...input });
    assert.equal(made.success, true);
    return made.issue;
  };
  const refused = (call, name, words) =>
    assert.rejects(call, (error) => {
      assert.equal(error.constructor.name, name, `${error.constructor.name}: ${error.message}`);
      assert.match(error.message, words);
      return true;
    });

  test("the viewer, the organization and the team are seen", async () => {
    const me = await linear.viewer;
    assert.ok(me.id && me.email);
    assert.ok((await linear.organization).urlKey);
    const { key, id } = await team();
    assert.equal(key, sandbox.team);
    const states = await (await linear.team(id)).states();
    assert.ok(states.nodes.some((state) => state.type === "completed"));
  });

  test("an issue is created, read, moved and commented on", async () => {
    const made = await issue({ title: "Exports fail", description: "Since **Monday**.", priority: 2 });
    assert.match(made.identifier, /^ENG-\d+$/);
    const found = await linear.issue(made.identifier);
    assert.deepEqual([found.id, found.title, found.priority], [made.id, "Exports fail", 2]);
    const states = await (await team()).states();
    const done = states.nodes.find((state) => state.type === "completed");
    const moved = await made.update({ stateId: done.id, priority: 1 });
    assert.equal((await (await moved.issue).state).name, done.name);
    const comment = await linear.createComment({ issueId: made.id, body: "Same here." });
    assert.equal(comment.success, true);
    const comments = await (await linear.issue(made.id)).comments();
    assert.deepEqual(comments.nodes.map((one) => one.body), ["Same here."]);
  });

  test("an id of one's own is taken once", async () => {
    const id = randomUUID();
    const made = await issue({ id, title: "Once" });
    assert.equal((await made).id, id);
    await refused(() => issue({ id, title: "Twice" }), "InvalidInputLinearError", /./);
  });

  test("issues are filtered, and come page after page", async () => {
    for (let at = 0; at < 7; at += 1) {
      await issue({ title: `Paged ${at}` });
    }
    const filter = { title: { startsWith: "Paged" } };
    const page = await linear.issues({ first: 3, filter });
    assert.deepEqual([page.nodes.length, page.pageInfo.hasNextPage], [3, true]);
    await page.fetchNext();
    await page.fetchNext();
    assert.deepEqual([new Set(page.nodes.map((one) => one.id)).size, page.pageInfo.hasNextPage], [7, false]);
  });

  test("labels are made, and put on an issue", async () => {
    const label = await (await linear.createIssueLabel({ name: "sdk", teamId: (await team()).id })).issueLabel;
    const made = await issue({ title: "Labelled", labelIds: [label.id] });
    const labels = await (await linear.issue(made.id)).labels();
    assert.deepEqual(labels.nodes.map((one) => one.name), ["sdk"]);
  });

  test("an attachment of one address is one attachment", async () => {
    const made = await issue({ title: "Attached" });
    const attach = (title) => linear.createAttachment({ issueId: made.id, title, url: "https://loopd.example/FB-1" });
    const first = await (await attach("First")).attachment;
    const second = await (await attach("Second")).attachment;
    assert.deepEqual([second.id, second.title], [first.id, "Second"]);
    const all = await (await linear.issue(made.id)).attachments();
    assert.equal(all.nodes.length, 1);
  });

  test("a customer is upserted by its id, and needs an issue", async () => {
    const upsert = (name) => linear.customerUpsert({ externalId: "lumen-1", name, domains: ["lumen.example"] });
    const first = await (await upsert("Lumen")).customer;
    const second = await (await upsert("Lumen Example")).customer;
    assert.deepEqual([second.id, second.name], [first.id, "Lumen Example"]);
    const made = await issue({ title: "Needed" });
    const need = await linear.createCustomerNeed({ customerId: first.id, issueId: made.id, body: "They wait for it." });
    assert.equal(need.success, true);
  });

  test("an issue is put in the trash and taken out", async () => {
    const made = await issue({ title: "Trashed" });
    assert.equal((await made.delete()).success, true);
    const found = await linear.issue(made.id);
    assert.ok(found.trashed);
    assert.equal((await linear.unarchiveIssue(made.id)).success, true);
    assert.ok(!(await linear.issue(made.id)).trashed);
  });

  test("webhooks are made, listed and deleted", async () => {
    const url = "https://loopd.example/hooks/linear";
    const made = await linear.createWebhook({ url, teamId: (await team()).id, resourceTypes: ["Issue"], secret: "a secret of ours" });
    const { id } = await made.webhook;
    const { nodes } = await linear.webhooks();
    assert.ok(nodes.some((hook) => hook.id === id && hook.url === url && hook.enabled));
    assert.equal((await linear.deleteWebhook(id)).success, true);
  });

  test("what is wrong is refused in Linear's words", async () => {
    await refused(() => linear.issue("ENG-99999"), "InvalidInputLinearError", /not found/i);
    await refused(() => issue({ title: "Nowhere", stateId: randomUUID() }), "InvalidInputLinearError", /./);
    const stranger = new LinearClient({ apiKey: "lin_api_wrong", apiUrl });
    await refused(async () => (await stranger.viewer).id, "AuthenticationLinearError", /./);
  });

  test("too many is told as that", async () => {
    const busy = await open({ faults: "throttle=1" });
    const hasty = new LinearClient({ apiKey, apiUrl: busy.vendors.linear.base_url });
    await refused(async () => (await hasty.viewer).id, "RatelimitedLinearError", /./);
  });
};
