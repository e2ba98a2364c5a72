// @notionhq/client, as its users use it: databases with their data sources, pages, blocks, queries, relations, views, comments.

import assert from "node:assert/strict";
import { APIErrorCode, Client, LogLevel, collectPaginatedAPI, isFullPage, isNotionClientError, iteratePaginatedAPI } from "@notionhq/client";

export default async ({ test, open }) => {
  const sandbox = await open();
  const { base_url: baseUrl, token: auth } = sandbox.vendors.notion;
  // What the client would log of a refusal that is wanted says nothing to whoever reads the count.
  const settings = { auth, baseUrl, retry: false, logger: () => {}, logLevel: LogLevel.ERROR };
  const notion = new Client(settings);
  const text = (content) => [{ text: { content } }];
  const named = (content) => ({ title: text(content) });
  const refused = (call, code, words = /./) =>
    assert.rejects(call, (error) => {
      assert.ok(isNotionClientError(error), error.stack);
      assert.equal(error.code, code, error.message);
      assert.match(error.message, words);
      assert.ok(error.request_id);
      return true;
    });

  const [home] = (await notion.search({ filter: { property: "object", value: "page" } })).results;
  const database = async (title, properties) => {
    const made = await notion.databases.create({
      parent: { type: "page_id", page_id: home.id },
      title: text(title),
      initial_data_source: { properties },
    });
    return [made, made.data_sources[0].id];
  };
  const options = [{ name: "New", color: "blue" }, { name: "Done", color: "green" }];
  const [base, source] = await database("Feedback", {
    Name: { title: {} },
    Body: { rich_text: {} },
    Count: { number: { format: "number" } },
    State: { select: { options } },
    Tags: { multi_select: { options: [] } },
    Due: { date: {} },
    Done: { checkbox: {} },
    Link: { url: {} },
  });
  const parent = { type: "data_source_id", data_source_id: source };
  const row = (properties) => notion.pages.create({ parent, properties });

  test("the bot and the people are seen", async () => {
    const me = await notion.users.me({});
    assert.deepEqual([me.type, me.bot.owner.type], ["bot", "workspace"]);
    const people = await collectPaginatedAPI(notion.users.list, { page_size: 1 });
    assert.ok(people.length > 1 && people.some((one) => one.id === me.id));
    assert.equal((await notion.users.retrieve({ user_id: me.id })).name, me.name);
  });

  test("a database shows its data source, and is found", async () => {
    const shown = await notion.databases.retrieve({ database_id: base.id });
    assert.deepEqual([shown.title[0].plain_text, shown.data_sources.length], ["Feedback", 1]);
    const { properties } = await notion.dataSources.retrieve({ data_source_id: source });
    assert.deepEqual([properties.Name.id, properties.State.select.options.length], ["title", 2]);
    const found = await notion.search({ query: "feed", filter: { property: "object", value: "data_source" } });
    assert.deepEqual(found.results.map((one) => one.id), [source]);
  });

  test("a page of every type is created, read, changed and put in the trash", async () => {
    const made = await row({
      Name: named("Exports fail"),
      Body: { rich_text: text("Since Monday.") },
      Count: { number: 2 },
      State: { select: { name: "New" } },
      Tags: { multi_select: [{ name: "export" }, { name: "csv" }] },
      Due: { date: { start: "2026-11-28" } },
      Done: { checkbox: false },
      Link: { url: "https://loopd.example/FB-1" },
    });
    assert.ok(isFullPage(made) && made.url);
    const { properties } = await notion.pages.retrieve({ page_id: made.id });
    assert.deepEqual(
      [properties.Name.title[0].plain_text, properties.Body.rich_text[0].plain_text, properties.Count.number],
      ["Exports fail", "Since Monday.", 2],
    );
    assert.deepEqual(properties.Tags.multi_select.map((tag) => tag.name), ["export", "csv"]);
    assert.deepEqual([properties.State.select.color, properties.Due.date.start], ["blue", "2026-11-28"]);
    const changed = await notion.pages.update({
      page_id: made.id,
      properties: { State: { select: { name: "Done" } }, Due: { date: null }, Done: { checkbox: true } },
    });
    assert.deepEqual([changed.properties.State.select.name, changed.properties.Due.date], ["Done", null]);
    const item = await notion.pages.properties.retrieve({ page_id: made.id, property_id: properties.Count.id });
    assert.equal(item.number, 2);
    assert.equal((await notion.pages.update({ page_id: made.id, in_trash: true })).in_trash, true);
    assert.equal((await notion.pages.update({ page_id: made.id, in_trash: false })).in_trash, false);
  });

  test("rows are filtered, sorted, and come page after page", async () => {
    for (let at = 0; at < 12; at += 1) {
      await row({ Name: named(`Paged ${at}`), Count: { number: at } });
    }
    const filter = { property: "Name", title: { starts_with: "Paged" } };
    const query = { data_source_id: source, filter, sorts: [{ property: "Count", direction: "descending" }], page_size: 5 };
    const first = await notion.dataSources.query(query);
    assert.deepEqual([first.results.length, first.has_more], [5, true]);
    const counts = [];
    for await (const page of iteratePaginatedAPI(notion.dataSources.query, query)) {
      counts.push(page.properties.Count.number);
    }
    assert.deepEqual(counts, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    const both = { and: [filter, { property: "Count", number: { greater_than: 9 } }] };
    assert.equal((await notion.dataSources.query({ data_source_id: source, filter: both })).results.length, 2);
    const recent = { timestamp: "last_edited_time", last_edited_time: { on_or_after: new Date(Date.now() - 3600e3).toISOString() } };
    assert.ok((await notion.dataSources.query({ data_source_id: source, filter: recent })).results.length >= 12);
  });

  test("properties are added, renamed and removed", async () => {
    const change = (properties) => notion.dataSources.update({ data_source_id: source, properties });
    const added = await change({ Owner: { rich_text: {} } });
    const { id } = added.properties.Owner;
    assert.equal((await change({ [id]: { name: "Who" } })).properties.Who.id, id);
    assert.equal((await change({ Who: null })).properties.Who, undefined);
  });

  test("a two-way relation is seen from its other side", async () => {
    const [, customers] = await database("Customers", { Name: { title: {} } });
    const relation = { data_source_id: customers, type: "dual_property", dual_property: { synced_property_name: "Said" } };
    await notion.dataSources.update({ data_source_id: source, properties: { Customer: { relation } } });
    const parent = { type: "data_source_id", data_source_id: customers };
    const customer = await notion.pages.create({ parent, properties: { Name: named("Lumen") } });
    const said = await row({ Name: named("Related"), Customer: { relation: [{ id: customer.id }] } });
    const { properties } = await notion.pages.retrieve({ page_id: customer.id });
    assert.deepEqual(properties.Said.relation.map((one) => one.id), [said.id]);
  });

  test("blocks are appended, listed, changed and deleted", async () => {
    const page = await row({ Name: named("Written") });
    const paragraph = (content) => ({ type: "paragraph", paragraph: { rich_text: text(content) } });
    const children = Array.from({ length: 7 }, (_, at) => paragraph(`Line ${at}`));
    await notion.blocks.children.append({ block_id: page.id, children });
    const blocks = await collectPaginatedAPI(notion.blocks.children.list, { block_id: page.id, page_size: 3 });
    assert.deepEqual(blocks.map((one) => one.paragraph.rich_text[0].plain_text), children.map((_, at) => `Line ${at}`));
    const changed = await notion.blocks.update({ block_id: blocks[0].id, paragraph: { rich_text: text("First") } });
    assert.equal(changed.paragraph.rich_text[0].plain_text, "First");
    await notion.blocks.delete({ block_id: blocks[6].id });
    assert.equal((await notion.blocks.children.list({ block_id: page.id })).results.length, 6);
  });

  test("comments make a discussion", async () => {
    const page = await row({ Name: named("Discussed") });
    const first = await notion.comments.create({ parent: { page_id: page.id }, rich_text: text("Is that so?") });
    await notion.comments.create({ discussion_id: first.discussion_id, rich_text: text("It is.") });
    const { results } = await notion.comments.list({ block_id: page.id });
    assert.deepEqual(results.map((one) => one.rich_text[0].plain_text), ["Is that so?", "It is."]);
  });

  test("views are made, listed and deleted", async () => {
    const view = await notion.views.create({ database_id: base.id, data_source_id: source, name: "By state", type: "table" });
    const listed = async () => (await notion.views.list({ database_id: base.id })).results.map((one) => one.id);
    assert.ok((await listed()).includes(view.id));
    assert.equal((await notion.views.retrieve({ view_id: view.id })).name, "By state");
    await notion.views.delete({ view_id: view.id });
    assert.ok(!(await listed()).includes(view.id));
  });

  test("the newer version of the API works as well", async () => {
    const newer = new Client({ ...settings, notionVersion: "2026-03-11" });
    const page = await newer.pages.create({ parent, properties: { Name: named("Newer") } });
    assert.equal((await newer.pages.update({ page_id: page.id, in_trash: true })).in_trash, true);
  });

  test("what is wrong is refused in Notion's words", async () => {
    const { ObjectNotFound, Unauthorized, ValidationError } = APIErrorCode;
    await refused(() => row({ Nmae: named("x") }), ValidationError, /Nmae is not a property that exists/);
    await refused(() => row({ Count: { number: "two" } }), ValidationError, /Count/);
    await refused(() => row({ Body: { rich_text: text("x".repeat(2001)) } }), ValidationError, /2000/);
    await refused(() => notion.pages.retrieve({ page_id: "00000000-0000-4000-8000-000000000000" }), ObjectNotFound, /Could not find/);
    await refused(() => notion.dataSources.query({ data_source_id: source, page_size: 101 }), ValidationError, /page_size/);
    await refused(() => new Client({ ...settings, auth: "ntn_wrong" }).users.me({}), Unauthorized, /API token is invalid/);
    await refused(() => new Client({ ...settings, notionVersion: "2019-01-01" }).users.me({}), ValidationError, /Notion-Version/);
  });

  test("too many is told as that, with how long to wait", async () => {
    const busy = await open({ faults: "throttle=1" });
    const hasty = new Client({ ...settings, baseUrl: busy.vendors.notion.base_url });
    await assert.rejects(hasty.users.me({}), (error) => {
      assert.equal(error.code, APIErrorCode.RateLimited, error.message);
      assert.equal(new Headers(error.headers).get("retry-after"), "30");
      return true;
    });
  });

  test("a client that tries again gets through an unsteady server", async () => {
    const shaky = await open({ faults: "server_error=0.2" });
    const retry = { maxRetries: 8, initialRetryDelayMs: 5 };
    let calls = 0;
    const counting = (...call) => {
      calls += 1;
      return fetch(...call);
    };
    const patient = new Client({ ...settings, baseUrl: shaky.vendors.notion.base_url, retry, fetch: counting });
    for (let at = 0; at < 20; at += 1) {
      assert.equal((await patient.users.me({})).type, "bot");
    }
    assert.ok(calls > 20, "nothing went wrong");
  });
};
