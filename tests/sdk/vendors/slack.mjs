// @slack/web-api and @slack/socket-mode, as their users use them: messages, threads, reactions, pages, and events over a line.

import assert from "node:assert/strict";
import { once } from "node:events";
import { SocketModeClient } from "@slack/socket-mode";
import { LogLevel, WebAPIPlatformError, WebAPIRateLimitedError, WebClient } from "@slack/web-api";

export default async ({ test, open }) => {
  const sandbox = await open();
  const { base_url, token } = sandbox.vendors.slack;
  const options = { slackApiUrl: `${base_url}/`, logLevel: LogLevel.ERROR, retryConfig: { retries: 0 } };
  const slack = new WebClient(token, options);
  const { channels } = await slack.conversations.list({ types: "public_channel" });
  const channel = channels.find((one) => one.name === "general").id;
  // One message a second for a channel, with short bursts: where a client is refused it waits, and sends it again.
  const say = (text, more = {}) => slack.chat.postMessage({ channel, text, ...more });
  const refused = (call, code) =>
    assert.rejects(call, (error) => {
      assert.ok(error instanceof WebAPIPlatformError, error.stack);
      assert.equal(error.data.error, code);
      return true;
    });

  test("the app, the workspace and the people are seen", async () => {
    const me = await slack.auth.test();
    assert.ok(me.user_id && me.bot_id && me.team_id);
    assert.ok(me.response_metadata.scopes.includes("chat:write"));
    assert.equal((await slack.team.info()).team.id, me.team_id);
    const { members } = await slack.users.list();
    const person = members.find((one) => !one.is_bot);
    assert.equal((await slack.users.info({ user: person.id })).user.profile.email, person.profile.email);
    assert.deepEqual((await slack.api.test({ foo: "bar" })).args.foo, "bar");
  });

  test("channels and their members come page after page", async () => {
    const ids = [];
    for await (const page of slack.paginate("conversations.members", { channel, limit: 1 })) {
      ids.push(...page.members);
    }
    assert.ok(ids.length >= 2 && new Set(ids).size === ids.length, ids.join());
    const { channel: info } = await slack.conversations.info({ channel });
    assert.deepEqual([info.name, info.is_member, info.is_private], ["general", true, false]);
    const joined = await slack.users.conversations({ types: "public_channel,private_channel" });
    assert.ok(joined.channels.some((one) => one.id === channel));
  });

  test("a message is posted, linked to, edited and deleted", async () => {
    const blocks = [{ type: "section", text: { type: "mrkdwn", text: "*Noted* & done <now>" } }];
    const metadata = { event_type: "loopd_note", event_payload: { id: "FB-1" } };
    const { ts, message } = await say("Noted", { blocks, metadata });
    assert.deepEqual([message.text, message.ts, message.metadata.event_payload.id], ["Noted", ts, "FB-1"]);
    const { permalink } = await slack.chat.getPermalink({ channel, message_ts: ts });
    assert.match(permalink, new RegExp(`/archives/${channel}/p${ts.replace(".", "")}$`));
    assert.equal((await slack.chat.update({ channel, ts, text: "Noted twice" })).text, "Noted twice");
    const shown = async () => (await slack.conversations.history({ channel, latest: ts, inclusive: true, limit: 1, include_all_metadata: true })).messages[0];
    const { text, edited, metadata: kept } = await shown();
    assert.deepEqual([text, Boolean(edited), kept.event_type], ["Noted twice", true, "loopd_note"]);
    assert.equal((await slack.chat.delete({ channel, ts })).ts, ts);
    assert.notEqual((await shown())?.ts, ts);
  });

  test("a thread is written to and read", async () => {
    const root = await say("The export stops.");
    const reply = await say("Since when?", { thread_ts: root.ts });
    const { messages } = await slack.conversations.replies({ channel, ts: root.ts });
    assert.deepEqual(messages.map((one) => one.ts), [root.ts, reply.ts]);
    assert.deepEqual([messages[0].reply_count, messages[1].thread_ts], [1, root.ts]);
    await refused(() => say("Nowhere", { thread_ts: "1.000001" }), "thread_not_found");
  });

  test("reactions are added once, seen and removed", async () => {
    const { ts: timestamp } = await say("It breaks.");
    const named = { channel, timestamp, name: "bug" };
    await slack.reactions.add(named);
    await refused(() => slack.reactions.add(named), "already_reacted");
    const { message } = await slack.reactions.get({ channel, timestamp });
    assert.deepEqual(message.reactions.map((one) => [one.name, one.count]), [["bug", 1]]);
    await slack.reactions.remove(named);
    await refused(() => slack.reactions.remove(named), "no_reaction");
  });

  test("history comes page after page, and within its bounds", async () => {
    // A person, not a channel: the channel's own burst is used up.
    const { channel: direct } = await slack.conversations.open({ users: "U0ADMIN" });
    const said = [];
    for (let at = 0; at < 5; at += 1) {
      said.push((await slack.chat.postMessage({ channel: direct.id, text: `Line ${at}` })).ts);
    }
    const found = [];
    for await (const page of slack.paginate("conversations.history", { channel: direct.id, limit: 2 })) {
      found.push(...page.messages.map((one) => one.ts));
    }
    assert.deepEqual(found, said.toReversed());
    const { messages } = await slack.conversations.history({ channel: direct.id, oldest: said[1], latest: said[3] });
    assert.deepEqual(messages.map((one) => one.ts), [said[2]]);
  });

  test("what is wrong is refused in Slack's words", async () => {
    await refused(() => slack.chat.postMessage({ channel: "C0NOWHERE", text: "x" }), "channel_not_found");
    await refused(() => slack.chat.update({ channel, ts: "1.000001", text: "x" }), "message_not_found");
    await refused(() => slack.users.info({ user: "U0NOBODY" }), "user_not_found");
    await refused(() => slack.conversations.history({ channel, cursor: "nonsense" }), "invalid_cursor");
    await refused(() => slack.apiCall("no.such.method"), "unknown_method");
    await refused(() => new WebClient("xoxb-wrong", options).auth.test(), "invalid_auth");
    await refused(() => new WebClient(undefined, options).auth.test(), "not_authed");
    await refused(() => new WebClient("xapp-sandbox", options).auth.test(), "not_allowed_token_type");
  });

  test("the sixth message in five seconds is too many, and a patient client waits", async () => {
    const fresh = (await open()).vendors.slack.base_url;
    const hasty = new WebClient(token, { ...options, slackApiUrl: `${fresh}/`, rejectRateLimitedCalls: true });
    const post = (client, at) => client.chat.postMessage({ channel, text: `Hurry ${at}` });
    for (let at = 0; at < 5; at += 1) {
      await post(hasty, at);
    }
    await assert.rejects(post(hasty, 5), (error) => {
      assert.ok(error instanceof WebAPIRateLimitedError, error.stack);
      assert.ok(error.retryAfter >= 1 && error.retryAfter <= 5, error.retryAfter);
      return true;
    });
    const patient = new WebClient(token, { slackApiUrl: `${fresh}/`, logLevel: LogLevel.ERROR });
    let waited = 0;
    patient.on("rate_limited", () => {
      waited += 1;
    });
    assert.equal((await post(patient, 6)).ok, true);
    assert.equal(waited, 1);
  });

  test("events come over a line, receipts go back, and the line is hung up politely", async () => {
    // A workspace of its own: its app's first line decides that events come this way.
    const own = (await open()).vendors.slack.base_url;
    const clientOptions = { slackApiUrl: `${own}/` };
    const errors = [];
    const line = new SocketModeClient({ appToken: "xapp-sandbox", logLevel: LogLevel.ERROR, clientOptions });
    line.on("error", (error) => errors.push(error));
    const connected = once(line, "connected");
    await line.start();
    await connected;

    const web = new WebClient(token, { ...options, slackApiUrl: `${own}/` });
    const heard = new Promise((resolve) => line.once("message", resolve));
    const { ts } = await web.chat.postMessage({ channel, text: "Over the line" });
    const { event, ack, retry_num } = await heard;
    assert.deepEqual([event.channel, event.ts, event.text, retry_num], [channel, ts, "Over the line", 0]);
    await ack();
    const reacted = new Promise((resolve) => line.once("reaction_added", resolve));
    await web.reactions.add({ channel, timestamp: ts, name: "bulb" });
    const reaction = await reacted;
    assert.deepEqual([reaction.event.reaction, reaction.event.item.ts], ["bulb", ts]);
    await reaction.ack();

    await line.disconnect();
    assert.deepEqual(errors, []);
    const wrong = new SocketModeClient({ appToken: "xapp-wrong", logger: quiet, clientOptions });
    await refused(() => wrong.start(), "invalid_auth");
  });
};

// The refusal that is wanted is logged as an error otherwise.
const quiet = { debug() {}, info() {}, warn() {}, error() {}, setLevel() {}, setName() {}, getLevel: () => LogLevel.ERROR };
