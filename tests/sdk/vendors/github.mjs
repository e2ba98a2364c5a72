// @octokit/rest, as its users use it: issues, comments, labels, pages, conditional requests, webhooks.

import assert from "node:assert/strict";
import { Octokit } from "@octokit/rest";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };

export default async ({ test, open }) => {
  const sandbox = await open();
  const { base_url: baseUrl, token: auth } = sandbox.vendors.github;
  const [owner, repo] = sandbox.repo.split("/");
  const octokit = new Octokit({ auth, baseUrl, log: quiet });
  const { issues, repos } = octokit.rest;
  const at = { owner, repo };
  const refused = (call, status, words) =>
    assert.rejects(call, (error) => {
      assert.deepEqual([error.name, error.status], ["HttpError", status]);
      assert.match(error.message, words);
      return true;
    });

  test("the repository is seen", async () => {
    const { data } = await repos.get(at);
    assert.deepEqual([data.full_name, data.owner.login, typeof data.id], [sandbox.repo, owner, "number"]);
  });

  test("an issue is opened, read, changed and closed", async () => {
    await issues.createLabel({ ...at, name: "sdk bug", color: "ff0000" });
    const { data: made } = await issues.create({ ...at, title: "Exports fail", body: "Since Monday.", labels: ["sdk bug"] });
    assert.deepEqual([made.title, made.state, made.labels[0].name], ["Exports fail", "open", "sdk bug"]);
    const issue_number = made.number;
    await issues.update({ ...at, issue_number, title: "Exports are slow", state: "closed", state_reason: "not_planned" });
    const { data } = await issues.get({ ...at, issue_number });
    assert.deepEqual([data.title, data.state, data.state_reason], ["Exports are slow", "closed", "not_planned"]);
    assert.ok(data.closed_at && data.html_url && data.user.login);
  });

  test("labels are added and removed, and others stay", async () => {
    const { data: made } = await issues.create({ ...at, title: "Labels" });
    const issue_number = made.number;
    await issues.addLabels({ ...at, issue_number, labels: ["one", "two"] });
    await issues.removeLabel({ ...at, issue_number, name: "one" });
    const { data } = await issues.listLabelsOnIssue({ ...at, issue_number });
    assert.deepEqual(data.map((label) => label.name), ["two"]);
    await refused(() => issues.removeLabel({ ...at, issue_number, name: "one" }), 404, /Label does not exist/i);
    assert.ok((await octokit.paginate(issues.listLabelsForRepo, { ...at, per_page: 1 })).length >= 3);
  });

  test("comments are written, listed, changed and deleted", async () => {
    const { data: made } = await issues.create({ ...at, title: "Comments" });
    const issue_number = made.number;
    const { data: comment } = await issues.createComment({ ...at, issue_number, body: "Same here." });
    await issues.updateComment({ ...at, comment_id: comment.id, body: "Same here, too." });
    const { data } = await issues.listComments({ ...at, issue_number });
    assert.deepEqual(data.map((one) => one.body), ["Same here, too."]);
    assert.equal((await issues.getComment({ ...at, comment_id: comment.id })).data.id, comment.id);
    await issues.deleteComment({ ...at, comment_id: comment.id });
    await refused(() => issues.getComment({ ...at, comment_id: comment.id }), 404, /Not Found/);
  });

  test("pages follow their links, and a filter holds on every page", async () => {
    for (let number = 0; number < 23; number += 1) {
      await issues.create({ ...at, title: `Page ${number}`, labels: ["paged"] });
    }
    const found = await octokit.paginate(issues.listForRepo, { ...at, labels: "paged", state: "all", per_page: 10 });
    assert.equal(new Set(found.map((issue) => issue.number)).size, 23);
    const sizes = [];
    for await (const page of octokit.paginate.iterator(issues.listForRepo, { ...at, labels: "paged", per_page: 10 })) {
      sizes.push(page.data.length);
    }
    assert.deepEqual(sizes, [10, 10, 3]);
    const { data: rising } = await issues.listForRepo({ ...at, labels: "paged", sort: "created", direction: "asc", per_page: 2 });
    assert.deepEqual(rising.map((issue) => issue.title), ["Page 0", "Page 1"]);
    const { data: later } = await issues.listForRepo({ ...at, since: new Date(Date.now() + 3_600_000).toISOString() });
    assert.equal(later.length, 0);
  });

  test("what did not change is 304", async () => {
    const { headers } = await issues.listForRepo({ ...at, labels: "paged" });
    assert.ok(headers.etag);
    await assert.rejects(
      () => issues.listForRepo({ ...at, labels: "paged", headers: { "if-none-match": headers.etag } }),
      (error) => error.status === 304,
    );
  });

  test("webhooks are made, listed and deleted", async () => {
    const config = { url: "http://127.0.0.1:9/hook", content_type: "json", secret: "s" };
    const { data: hook } = await repos.createWebhook({ ...at, config, events: ["issues"] });
    assert.deepEqual([hook.active, hook.events, hook.config.url], [true, ["issues"], config.url]);
    assert.ok((await repos.listWebhooks(at)).data.some((one) => one.id === hook.id));
    await repos.deleteWebhook({ ...at, hook_id: hook.id });
    await refused(() => repos.getWebhook({ ...at, hook_id: hook.id }), 404, /Not Found/);
  });

  test("what is wrong is refused in GitHub's words", async () => {
    await refused(() => issues.get({ ...at, issue_number: 99_999 }), 404, /Not Found/);
    await refused(() => repos.get({ owner, repo: "nowhere" }), 404, /Not Found/);
    await refused(() => issues.create({ ...at, title: "" }), 422, /Validation Failed/);
    const stranger = new Octokit({ auth: "ghp_wrong", baseUrl, log: quiet });
    await refused(() => stranger.rest.repos.get(at), 401, /Bad credentials/);
  });

  test("the quota is told in every answer, and too many is a 403 or 429 that says when", async () => {
    const { headers } = await repos.get(at);
    assert.ok(Number(headers["x-ratelimit-limit"]) > 0 && Number(headers["x-ratelimit-remaining"]) >= 0);
    const { data } = await octokit.rest.rateLimit.get();
    assert.equal(data.resources.core.limit, Number(headers["x-ratelimit-limit"]));
    const busy = await open({ faults: "throttle=1" });
    const hasty = new Octokit({ auth, baseUrl: busy.vendors.github.base_url, log: quiet });
    await assert.rejects(
      () => hasty.rest.repos.get(at),
      (error) => {
        assert.ok([403, 429].includes(error.status), String(error.status));
        assert.match(error.message, /rate limit/i);
        assert.ok(error.response.headers["retry-after"] ?? error.response.headers["x-ratelimit-reset"]);
        return true;
      },
    );
  });
};
