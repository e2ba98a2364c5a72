// intercom-client, as its users use it: contacts, companies, conversations, tags, pages, searches.

import assert from "node:assert/strict";
import { IntercomClient, IntercomError } from "intercom-client";

export default async ({ test, open }) => {
  const sandbox = await open();
  const { base_url: environment, token } = sandbox.vendors.intercom;
  const intercom = new IntercomClient({ token, environment, maxRetries: 0 });
  const refused = (call, statusCode, code) =>
    assert.rejects(call, (error) => {
      assert.ok(error instanceof IntercomError, String(error));
      assert.equal(error.statusCode, statusCode);
      assert.equal(error.body?.errors?.[0]?.code, code, JSON.stringify(error.body));
      return true;
    });
  const contact = (at) => intercom.contacts.create({ role: "user", external_id: `sdk-${at}`, email: `sdk-${at}@lumen.example`, name: `Person ${at}` });

  test("the admins are seen", async () => {
    const { admins } = await intercom.admins.list();
    assert.ok(admins.length > 0 && admins[0].id);
    const me = await intercom.admins.identify();
    assert.ok(me.email && me.app.id_code);
  });

  test("a contact is created, found, updated and archived", async () => {
    const made = await contact("one");
    assert.deepEqual([made.type, made.email], ["contact", "sdk-one@lumen.example"]);
    const found = await intercom.contacts.find({ contact_id: made.id });
    assert.equal(found.external_id, "sdk-one");
    const changed = await intercom.contacts.update({ contact_id: made.id, name: "Ada" });
    assert.equal(changed.name, "Ada");
    await refused(() => contact("one"), 409, "conflict");
    await intercom.contacts.delete({ contact_id: made.id });
    await refused(() => intercom.contacts.find({ contact_id: made.id }), 404, "not_found");
  });

  test("contacts come page after page, and are searched", async () => {
    for (let at = 0; at < 12; at += 1) {
      await contact(at);
    }
    const names = [];
    for await (const one of await intercom.contacts.list({ per_page: 5 })) {
      names.push(one.external_id);
    }
    assert.equal(new Set(names.filter((name) => name?.startsWith("sdk-"))).size, 12);
    const page = await intercom.contacts.search({
      query: { operator: "AND", value: [{ field: "email", operator: "=", value: "sdk-7@lumen.example" }] },
      pagination: { per_page: 5 },
    });
    assert.deepEqual(page.data.map((one) => one.external_id), ["sdk-7"]);
  });

  test("a company is made, found, changed and joined", async () => {
    const made = await intercom.companies.createOrUpdate({ company_id: "lumen", name: "Lumen", monthly_spend: 1200 });
    const again = await intercom.companies.createOrUpdate({ company_id: "lumen", name: "Lumen Example" });
    assert.deepEqual([again.id, again.name, again.monthly_spend], [made.id, "Lumen Example", 1200]);
    const person = await contact("joiner");
    await intercom.companies.attachContact({ contact_id: person.id, id: made.id });
    const found = await intercom.companies.find({ company_id: made.id });
    assert.deepEqual([found.company_id, found.user_count], ["lumen", 1]);
    const listed = [];
    for await (const one of await intercom.companies.list({ per_page: 1 })) {
      listed.push(one.company_id);
    }
    assert.ok(listed.includes("lumen"));
  });

  test("a conversation is opened, answered, noted, closed and searched", async () => {
    const person = await contact("talker");
    const message = await intercom.conversations.create({ from: { type: "user", id: person.id }, body: "Exports fail." });
    const conversation_id = message.conversation_id;
    const { admins } = await intercom.admins.list();
    const admin_id = admins[0].id;
    await intercom.conversations.reply({
      conversation_id,
      body: { type: "user", message_type: "comment", intercom_user_id: person.id, body: "Still." },
    });
    const noted = await intercom.conversations.reply({
      conversation_id,
      body: { type: "admin", message_type: "note", admin_id, body: "Known." },
    });
    const parts = noted.conversation_parts.conversation_parts;
    assert.deepEqual(parts.map((part) => part.part_type), ["comment", "note"]);
    const closed = await intercom.conversations.manage({
      conversation_id,
      body: { message_type: "close", type: "admin", admin_id },
    });
    assert.equal(closed.state, "closed");
    const found = await intercom.conversations.find({ conversation_id, display_as: "plaintext" });
    assert.deepEqual([found.source.body, found.contacts.contacts[0].id], ["Exports fail.", person.id]);
    const page = await intercom.conversations.search({
      query: { operator: "AND", value: [{ field: "id", operator: "=", value: conversation_id }] },
    });
    assert.deepEqual(page.data.map((one) => one.id), [conversation_id]);
    await refused(() => intercom.conversations.find({ conversation_id: "999999999" }), 404, "not_found");
  });

  test("a conversation is tagged", async () => {
    const person = await contact("tagged");
    const { conversation_id } = await intercom.conversations.create({ from: { type: "user", id: person.id }, body: "Hello." });
    const { admins } = await intercom.admins.list();
    const tag = await intercom.tags.create({ name: "sdk" });
    await intercom.tags.tagConversation({ conversation_id, id: tag.id, admin_id: admins[0].id });
    const found = await intercom.conversations.find({ conversation_id });
    assert.deepEqual(found.tags.tags.map((one) => one.name), ["sdk"]);
    const { data } = await intercom.tags.list();
    assert.ok(data.some((one) => one.name === "sdk"));
  });

  test("what is wrong is refused in Intercom's words", async () => {
    const stranger = new IntercomClient({ token: "wrong", environment, maxRetries: 0 });
    await refused(() => stranger.admins.identify(), 401, "unauthorized");
    await refused(() => intercom.companies.find({ company_id: "nowhere" }), 404, "company_not_found");
    await refused(() => intercom.contacts.search({ query: { field: "email", operator: "like", value: "x" } }), 400, "parameter_invalid");
  });

  test("too many is a 429", async () => {
    const busy = await open({ faults: "throttle=1" });
    const hasty = new IntercomClient({ token, environment: busy.vendors.intercom.base_url, maxRetries: 0 });
    await refused(() => hasty.admins.list(), 429, "rate_limit_exceeded");
  });
};
