// airtable.js, as its users use it: create, page, find, update, upsert, replace, destroy.

import assert from "node:assert/strict";
import Airtable from "airtable";

export default async ({ test, open }) => {
  const sandbox = await open();
  const { base_url, token: apiKey } = sandbox.vendors.airtable;
  const endpointUrl = base_url.replace(/\/v0$/, "");
  const connect = (key) => new Airtable({ apiKey: key, endpointUrl, noRetryIfRateLimited: true }).base(sandbox.base);
  const TABLE = "Sdk";
  const base = connect(apiKey);
  const table = base(TABLE);
  // Five calls a second for a base, or thirty seconds of nothing.
  const paced = async (call) => {
    await new Promise((done) => setTimeout(done, 220));
    return call();
  };
  const refused = (call, error, statusCode) =>
    assert.rejects(() => paced(call), (refusal) => {
      assert.deepEqual([refusal.error, refusal.statusCode], [error, statusCode]);
      assert.ok(refusal.message);
      return true;
    });

  const made = await fetch(`${base_url}/meta/bases/${sandbox.base}/tables`, {
    method: "POST",
    headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
    body: JSON.stringify({
      name: TABLE,
      fields: [
        { name: "Name", type: "singleLineText" },
        { name: "Count", type: "number", options: { precision: 0 } },
        { name: "Severity", type: "singleSelect", options: { choices: [{ name: "High" }, { name: "Low" }] } },
      ],
    }),
  });
  assert.equal(made.status, 200, await made.text());

  test("a record is created, found, updated, replaced and destroyed", async () => {
    const record = await paced(() => table.create({ Name: "One", Count: 1, Severity: "High" }));
    assert.match(record.getId(), /^rec/);
    assert.deepEqual([record.get("Name"), record.fields.Count], ["One", 1]);
    const found = await paced(() => table.find(record.id));
    assert.deepEqual(found.fields, { Name: "One", Count: 1, Severity: "High" });
    const patched = await paced(() => table.update(record.id, { Count: 2 }));
    assert.deepEqual([patched.get("Count"), patched.get("Name")], [2, "One"]);
    const replaced = await paced(() => table.replace(record.id, { Name: "Only" }));
    assert.deepEqual(replaced.fields, { Name: "Only" });
    assert.equal((await paced(() => table.destroy(record.id))).id, record.id);
    await refused(() => table.find(record.id), "NOT_FOUND", 404);
  });

  test("ten at a time are created, and every page comes", async () => {
    for (let from = 0; from < 40; from += 10) {
      const rows = Array.from({ length: 10 }, (_, at) => ({ fields: { Name: `Row ${from + at}`, Count: from + at } }));
      assert.equal((await paced(() => table.create(rows))).length, 10);
    }
    const sizes = [];
    await paced(() =>
      table.select({ pageSize: 15 }).eachPage((records, next) => {
        sizes.push(records.length);
        setTimeout(next, 220);
      }),
    );
    assert.deepEqual(sizes, [15, 15, 10]);
    const some = await paced(() => table.select({ filterByFormula: "{Count} = 7", fields: ["Name"] }).firstPage());
    assert.deepEqual(some.map((record) => record.fields), [{ Name: "Row 7" }]);
    const sorted = await paced(() => table.select({ sort: [{ field: "Count", direction: "desc" }], maxRecords: 2 }).firstPage());
    assert.deepEqual(sorted.map((record) => record.get("Count")), [39, 38]);
  });

  test("several are updated, and destroyed, in one call", async () => {
    const [a, b] = await paced(() => table.select({ maxRecords: 2 }).firstPage());
    const changed = await paced(() => table.update([a, b].map(({ id }) => ({ id, fields: { Severity: "Low" } }))));
    assert.deepEqual(changed.map((record) => record.get("Severity")), ["Low", "Low"]);
    const gone = await paced(() => table.destroy([a.id, b.id]));
    assert.deepEqual(gone.map((record) => record.id), [a.id, b.id]);
  });

  test("an upsert changes what is there and makes what is not", async () => {
    const rows = [{ fields: { Name: "Row 20", Count: 2000 } }, { fields: { Name: "Row new", Count: 1 } }];
    const said = await paced(() => table.update(rows, { performUpsert: { fieldsToMergeOn: ["Name"] } }));
    const records = said.records ?? said;
    assert.equal(records.length, 2);
    const found = await paced(() => table.select({ filterByFormula: "OR({Name} = 'Row 20', {Name} = 'Row new')" }).firstPage());
    assert.deepEqual(found.map((record) => record.get("Count")).sort(), [1, 2000]);
  });

  test("typecast makes a choice that is not there", async () => {
    await refused(() => table.create({ Name: "x", Severity: "Mild" }), "INVALID_MULTIPLE_CHOICE_OPTIONS", 422);
    const record = await paced(() => table.create({ Name: "x", Severity: "Mild" }, { typecast: true }));
    assert.equal(record.get("Severity"), "Mild");
  });

  test("what is wrong is refused in Airtable's words", async () => {
    await refused(() => table.create({ Nmae: "x" }), "UNKNOWN_FIELD_NAME", 422);
    await refused(() => table.create({ Count: "many" }), "INVALID_VALUE_FOR_COLUMN", 422);
    await refused(() => table.find("recAAAAAAAAAAAAAA"), "NOT_FOUND", 404);
    await refused(() => table.select({ filterByFormula: "{" }).firstPage(), "INVALID_FILTER_BY_FORMULA", 422);
    await refused(() => connect("pat.wrong")(TABLE).select().firstPage(), "AUTHENTICATION_REQUIRED", 401);
    const eleven = Array.from({ length: 11 }, () => ({ fields: { Name: "x" } }));
    await assert.rejects(() => paced(() => table.create(eleven)), (refusal) => refusal.statusCode === 422);
  });

  // Last: from here on the base is closed for thirty seconds.
  test("a sixth call within the second is too many", async () => {
    const asked = await Promise.allSettled(Array.from({ length: 9 }, () => table.select({ maxRecords: 1 }).firstPage()));
    const failed = asked.filter((one) => one.status === "rejected");
    assert.ok(failed.length >= 1);
    assert.ok(failed.every((one) => one.reason.statusCode === 429), JSON.stringify(failed.map((one) => one.reason)));
  });
};
