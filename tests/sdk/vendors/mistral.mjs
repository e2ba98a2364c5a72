// @mistralai/mistralai, as its users use it: chat with a schema, embeddings, batches inside and by file, models, errors.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { Mistral } from "@mistralai/mistralai";
import * as errors from "@mistralai/mistralai/models/errors";

const SMALL = "mistral-small-latest";
const CRASH = "The export crashes with an error. Please hurry.";

export default async ({ test, open }) => {
  const { base_url: serverURL, token } = (await open()).vendors.mistral;
  const mistral = new Mistral({ apiKey: token, serverURL });
  // Six calls a second.
  const paced = async (call) => {
    await sleep(200);
    return call();
  };
  const ask = (more = {}, client = mistral) =>
    paced(() => client.chat.complete({ model: SMALL, messages: [{ role: "user", content: CRASH }], ...more }));
  const lines = (count) =>
    Array.from({ length: count }, (_, n) => ({ customId: `${n}`, body: { messages: [{ role: "user", content: `Export ${n} crashes.` }] } }));
  const untilOver = async (job) => {
    while (job.status === "QUEUED" || job.status === "RUNNING") {
      await sleep(500);
      job = await mistral.batch.jobs.get({ jobId: job.id, inline: true });
    }
    return job;
  };

  test("an answer fits the schema that was sent", async () => {
    const schemaDefinition = {
      type: "object",
      additionalProperties: false,
      required: ["category", "quote"],
      properties: { category: { type: "string", enum: ["praise", "bug"] }, quote: { type: "string" } },
    };
    const jsonSchema = { name: "tags", schemaDefinition, strict: true };
    const answer = await ask({ responseFormat: { type: "json_schema", jsonSchema }, temperature: 0, randomSeed: 1, reasoningEffort: "none" });
    const [choice] = answer.choices;
    assert.deepEqual(JSON.parse(choice.message.content), { category: "bug", quote: "The export crashes with an error." });
    assert.deepEqual([answer.model, choice.finishReason], ["mistral-small-2603", "stop"]);
    assert.equal(answer.usage.totalTokens, answer.usage.promptTokens + answer.usage.completionTokens);
    const refused = { ...jsonSchema, schemaDefinition: { ...schemaDefinition, $schema: "https://json-schema.org/draft/2020-12/schema" } };
    await assert.rejects(() => ask({ responseFormat: { type: "json_schema", jsonSchema: refused } }), { statusCode: 400 });
  });

  test("a model that thinks answers in chunks", async () => {
    const [{ message }] = (await ask({ model: "mistral-large-4" })).choices;
    assert.deepEqual(message.content.map((chunk) => chunk.type), ["thinking", "text"]);
  });

  test("embeddings have one vector for each text", async () => {
    const { data, usage } = await paced(() => mistral.embeddings.create({ model: "mistral-embed", inputs: ["one", "two", "three"] }));
    assert.deepEqual(data.map((item) => item.index).sort(), [0, 1, 2]);
    assert.ok(data.every((item) => item.embedding.length === 1024) && usage.promptTokens > 0);
    const many = () => paced(() => mistral.embeddings.create({ model: "mistral-embed", inputs: Array(513).fill("x") }));
    await assert.rejects(many, (error) => error.statusCode === 400 && JSON.parse(error.body).code === "3210");
  });

  test("models are listed with what they can do", async () => {
    const { data } = await paced(() => mistral.models.list());
    const small = data.find((card) => card.id === "mistral-small-2603");
    assert.ok(small.aliases.includes(SMALL) && small.capabilities.completionChat && small.maxContextLength === 262144);
  });

  test("a batch comes back inside", async () => {
    const job = await paced(() => mistral.batch.jobs.create({ requests: lines(3), model: SMALL, endpoint: "/v1/chat/completions" }));
    const over = await untilOver(job);
    assert.deepEqual([over.status, over.succeededRequests, over.outputs.length], ["SUCCESS", 3, 3]);
  });

  test("a batch comes back as a file", async () => {
    const content = lines(4).map(({ customId, body }) => JSON.stringify({ custom_id: customId, body })).join("\n");
    const file = await paced(() => mistral.files.upload({ file: { fileName: "lines.jsonl", content: Buffer.from(content) }, purpose: "batch" }));
    const made = { inputFiles: [file.id], model: SMALL, endpoint: "/v1/chat/completions", metadata: { loopd: "b" } };
    const over = await untilOver(await paced(() => mistral.batch.jobs.create(made)));
    const text = await new Response(await mistral.files.download({ fileId: over.outputFile })).text();
    const answers = text.trim().split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(answers.map((line) => line.custom_id).sort(), ["0", "1", "2", "3"]);
    const { data } = await paced(() => mistral.batch.jobs.list({ page: 0, pageSize: 1 }));
    assert.deepEqual(data.map((job) => [job.id, job.metadata]), [[over.id, { loopd: "b" }]]);
  });

  test("refusals are told apart", async () => {
    await assert.rejects(() => ask({}, new Mistral({ apiKey: "wrong", serverURL })), { statusCode: 401 });
    await assert.rejects(() => ask({ model: "mistral-small-2506" }), (error) => JSON.parse(error.body).type === "invalid_model");
    await assert.rejects(() => ask({ temperature: 1.9 }), (error) => {
      assert.ok(error instanceof errors.HTTPValidationError, String(error));
      assert.deepEqual(error.detail[0].loc, ["body", "temperature"]);
      return true;
    });
  });
};
