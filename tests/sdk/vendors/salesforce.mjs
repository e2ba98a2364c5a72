// jsforce, as its users use it: records one by one and by the hundred, SOQL and its pages, upsert, Tooling API, sign-in.

import assert from "node:assert/strict";
import jsforce from "jsforce";

const version = "67.0";
// The app that every org of the sandbox has.
const app = { clientId: "3MVG9sandboxClient", clientSecret: "SANDBOX0SECRET" };

export default async ({ test, open }) => {
  const { base_url: instanceUrl, token: accessToken } = (await open()).vendors.salesforce;
  const org = new jsforce.Connection({ instanceUrl, accessToken, version });
  const accounts = org.sobject("Account");
  const refused = (call, code) =>
    assert.rejects(call, (error) => {
      assert.equal(error.errorCode, code, error.stack);
      assert.ok(error.message);
      return true;
    });

  test("what there is is described", async () => {
    const { sobjects } = await org.describeGlobal();
    assert.ok(sobjects.some((one) => one.name === "Account" && one.keyPrefix === "001"));
    const { fields } = await accounts.describe();
    assert.equal(fields.find((field) => field.name === "Name").type, "string");
    assert.equal(fields.find((field) => field.name === "OwnerId").relationshipName, "Owner");
  });

  test("a record is created, read, updated and deleted", async () => {
    const made = await accounts.create({ Name: "Lumen", Website: "lumen.example" });
    assert.deepEqual([made.success, made.id.length], [true, 18]);
    assert.equal((await accounts.retrieve(made.id)).Website, "lumen.example");
    assert.equal((await accounts.update({ Id: made.id, Industry: "Energy" })).success, true);
    assert.equal((await accounts.retrieve(made.id)).Industry, "Energy");
    assert.equal((await accounts.destroy(made.id)).success, true);
    await refused(() => accounts.retrieve(made.id), "NOT_FOUND");
    const gone = await org.query(`SELECT Id FROM Account WHERE IsDeleted = true AND Id = '${made.id}'`, { scanAll: true });
    assert.equal(gone.totalSize, 1);
  });

  test("hundreds are cut into two hundreds, and read page after page", async () => {
    const corps = Array.from({ length: 450 }, (_, at) => ({ Name: `Corp ${String(at).padStart(3, "0")}`, NumberOfEmployees: at }));
    const made = await accounts.create(corps, { allowRecursive: true });
    assert.equal(made.filter((one) => one.success).length, 450);
    const headers = { "Sforce-Query-Options": "batchSize=200" };
    const soql = "SELECT Id, Name, Owner.Name FROM Account WHERE Name LIKE 'Corp %' ORDER BY Name";
    const first = await org.query(soql, { headers });
    assert.deepEqual([first.totalSize, first.done, first.records.length], [450, false, 200]);
    assert.ok(first.records[0].Owner.Name);
    const second = await org.queryMore(first.nextRecordsUrl);
    const third = await org.queryMore(second.nextRecordsUrl);
    assert.deepEqual([second.records.length, third.records.length, third.done], [200, 50, true]);
    const { records } = await org.query(soql, { autoFetch: true, maxFetch: 1000, headers });
    assert.equal(new Set(records.map((one) => one.Id)).size, 450);
    const found = await accounts.find({ Name: { $like: "Corp %" }, NumberOfEmployees: { $gte: 100 } }, ["Name"]).sort({ Name: 1 }).limit(2);
    assert.deepEqual(found.map((one) => one.Name), ["Corp 100", "Corp 101"]);
    const changed = await accounts.update([{ Id: made[0].id, Industry: "Retail" }, { Id: made[1].id, Name: "" }]);
    assert.deepEqual([changed[0].success, changed[1].errors[0].statusCode], [true, "REQUIRED_FIELD_MISSING"]);
    assert.ok((await accounts.destroy([made[2].id, made[3].id])).every((one) => one.success));
    const [start, end] = [-3600e3, 60e3].map((off) => new Date(Date.now() + off));
    assert.ok((await accounts.updated(start, end)).ids.length >= 448);
    assert.equal((await org.query("SELECT COUNT() FROM Account WHERE Name LIKE 'Corp %'")).totalSize, 448);
  });

  test("a field is there when a permission set shows it; then records are upserted by it", async () => {
    const Metadata = { type: "Text", length: 40, label: "Ext", externalId: true, unique: true, caseSensitive: true };
    const field = await org.tooling.sobject("CustomField").create({ FullName: "Account.Ext__c", Metadata });
    assert.equal(field.success, true);
    await refused(() => org.query("SELECT Ext__c FROM Account"), "INVALID_FIELD");
    const set = await org.sobject("PermissionSet").create({ Name: "Shows", Label: "Shows" });
    const show = { ParentId: set.id, SobjectType: "Account", Field: "Account.Ext__c", PermissionsRead: true, PermissionsEdit: true };
    await org.sobject("FieldPermissions").create(show);
    const { user_id: AssigneeId } = await org.identity();
    await org.sobject("PermissionSetAssignment").create({ AssigneeId, PermissionSetId: set.id });

    const first = await accounts.upsert({ Name: "Up", Ext__c: "k1" }, "Ext__c");
    const again = await accounts.upsert({ Name: "Up two", Ext__c: "k1" }, "Ext__c");
    assert.deepEqual([first.created, again.created, again.id], [true, false, first.id]);
    const several = await accounts.upsert([{ Name: "Up three", Ext__c: "k1" }, { Name: "New", Ext__c: "k2" }, { Ext__c: "k3" }], "Ext__c");
    assert.deepEqual(several.map((one) => [one.success, Boolean(one.created)]), [[true, false], [true, true], [false, false]]);
    assert.equal(several[2].errors[0].statusCode, "REQUIRED_FIELD_MISSING");
  });

  test("a composite request refers to what it has just made", async () => {
    const to = (what) => `/services/data/v${version}/sobjects/${what}`;
    const { compositeResponse } = await org.requestPost("/composite", {
      allOrNone: true,
      compositeRequest: [
        { method: "POST", url: to("Account"), referenceId: "one", body: { Name: "Composed" } },
        { method: "POST", url: to("Contact"), referenceId: "two", body: { LastName: "Example", AccountId: "@{one.id}" } },
      ],
    });
    assert.deepEqual(compositeResponse.map((one) => one.httpStatusCode), [201, 201]);
  });

  test("what is wrong is refused in Salesforce's words", async () => {
    await refused(() => org.query("SELEC Id FROM Account"), "MALFORMED_QUERY");
    await refused(() => org.query("SELECT Nope__c FROM Account"), "INVALID_FIELD");
    await refused(() => accounts.create({ Industry: "Energy" }), "REQUIRED_FIELD_MISSING");
    await refused(() => accounts.retrieve("001000000000000AAA"), "NOT_FOUND");
    await refused(() => org.sobject("Nope__c").create({ Name: "x" }), "NOT_FOUND");
    const stranger = new jsforce.Connection({ instanceUrl, accessToken: "00Dwrong!session", version });
    await refused(() => stranger.query("SELECT Id FROM Account"), "INVALID_SESSION_ID");
  });

  test("the day's calls are told, and too many refused", async () => {
    const { DailyApiRequests: day } = await org.limits();
    assert.ok(day.Max > day.Remaining, JSON.stringify(day));
    assert.ok(org.limitInfo.apiUsage.used > 10, JSON.stringify(org.limitInfo));
    const busy = await open({ faults: "throttle=1" });
    const hasty = new jsforce.Connection({ instanceUrl: busy.vendors.salesforce.base_url, accessToken, version });
    await refused(() => hasty.query("SELECT Id FROM Account"), "REQUEST_LIMIT_EXCEEDED");
  });

  test("what breaks says so in Salesforce's words", async () => {
    const shaky = await open({ faults: "server_error=1" });
    const unlucky = new jsforce.Connection({ instanceUrl: shaky.vendors.salesforce.base_url, accessToken, version });
    await refused(() => unlucky.query("SELECT Id FROM Account"), "UNKNOWN_EXCEPTION");
  });

  test("an app signs in by itself", async () => {
    const own = new jsforce.Connection({ instanceUrl, oauth2: { ...app, loginUrl: instanceUrl }, version });
    await own.authorize({ grant_type: "client_credentials" });
    assert.ok((await own.query("SELECT Id FROM User")).totalSize > 0);
    const wrong = new jsforce.Connection({ instanceUrl, oauth2: { ...app, clientSecret: "wrong", loginUrl: instanceUrl }, version });
    await assert.rejects(() => wrong.authorize({ grant_type: "client_credentials" }), /invalid_client/);
  });

  test("somebody signs in with a browser, and a dead token is refreshed", async () => {
    const oauth2 = new jsforce.OAuth2({ ...app, loginUrl: instanceUrl, redirectUri: "http://localhost:1/cb", useVerifier: true });
    const sent = await fetch(oauth2.getAuthorizationUrl({ scope: "api refresh_token" }), { redirect: "manual" });
    const code = new URL(sent.headers.get("location")).searchParams.get("code");
    const signed = new jsforce.Connection({ oauth2, version });
    await signed.authorize(code);
    assert.ok(signed.refreshToken);
    let refreshes = 0;
    signed.on("refresh", () => {
      refreshes += 1;
    });
    signed.accessToken = "dead";
    assert.ok((await signed.query("SELECT Id FROM User")).totalSize > 0);
    assert.equal(refreshes, 1);
  });
};
