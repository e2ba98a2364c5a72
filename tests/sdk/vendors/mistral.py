"""mistralai, as its users use it: chat with a pydantic model, embeddings, batches inside and by file, models, errors."""

import json
import time
from typing import Literal

import httpx2
from mistralai.client import Mistral, errors
from mistralai.client.utils import BackoffStrategy, RetryConfig
from pydantic import BaseModel

SMALL = "mistral-small-latest"
CRASH = "The export crashes with an error. Please hurry."


class Tags(BaseModel):
    category: Literal["bug", "feature_request", "praise", "general"]
    confidence: float
    quotes: list[str]


def refusal(call, kind=errors.SDKError):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError("it was not refused")


def suite(test, open, _serve):
    vendor = open()["vendors"]["mistral"]
    # Six calls a second. Over loopback they would be more.
    paced = httpx2.Client(event_hooks={"response": [lambda _: time.sleep(0.2)]})
    client = Mistral(api_key=vendor["token"], server_url=vendor["base_url"], client=paced)

    def ask(text=CRASH, **more):
        messages = [{"role": "system", "content": "You sort feedback."}, {"role": "user", "content": text}]
        return client.chat.complete(model=SMALL, messages=messages, **more)

    def lines(count):
        body = lambda n: {"messages": [{"role": "user", "content": f"Export {n} crashes."}], "max_tokens": 50}
        return [{"custom_id": str(n), "body": body(n)} for n in range(count)]

    def until_over(job):
        while job.status in ("QUEUED", "RUNNING"):
            time.sleep(0.5)
            job = client.batch.jobs.get(job_id=job.id, inline=True)
        return job

    @test("an answer is parsed into a pydantic model")
    def _():
        messages = [{"role": "user", "content": CRASH}]
        answer = client.chat.parse(Tags, model=SMALL, messages=messages, temperature=0, random_seed=1)
        tags = answer.choices[0].message.parsed
        assert (tags.category, tags.quotes) == ("bug", ["The export crashes with an error."]), tags
        assert answer.model == "mistral-small-2603"
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0

    @test("an answer is cut at max_tokens, and what is stable is cached")
    def _():
        short = ask(max_tokens=2)
        assert short.choices[0].finish_reason == "length", short
        long = CRASH * 20
        ask(long, prompt_cache_key="k")
        again = ask(long, prompt_cache_key="k")
        assert again.usage.prompt_tokens_details["cached_tokens"] >= 64, again.usage

    @test("a model that thinks answers in chunks, and not when told so")
    def _():
        messages = [{"role": "user", "content": CRASH}]
        content = client.chat.complete(model="mistral-large-4", messages=messages).choices[0].message.content
        assert [chunk.type for chunk in content] == ["thinking", "text"], content
        quiet = client.chat.complete(model="mistral-large-4", messages=messages, reasoning_effort="none")
        assert isinstance(quiet.choices[0].message.content, str)

    @test("embeddings have one vector for each text, known by its index")
    def _():
        made = client.embeddings.create(model="mistral-embed", inputs=["slow exports", "single sign-on", "slow export"])
        by_index = {item.index: item.embedding for item in made.data}
        assert sorted(by_index) == [0, 1, 2] and all(len(vector) == 1024 for vector in by_index.values())
        near = lambda a, b: sum(x * y for x, y in zip(by_index[a], by_index[b]))
        assert near(0, 2) > near(0, 1)
        error = refusal(lambda: client.embeddings.create(model="mistral-embed", inputs=["x"] * 513))
        assert (error.status_code, json.loads(error.body)["code"]) == (400, "3210")

    @test("models are listed with what they can do")
    def _():
        cards = {card.id: card for card in client.models.list().data}
        assert cards["mistral-small-2603"].capabilities.reasoning and "mistral-small-latest" in cards["mistral-small-2603"].aliases
        assert cards["codestral-2508"].deprecation_replacement_model == "mistral-medium-latest"
        assert client.models.retrieve(model_id=SMALL).max_context_length == 262144

    @test("a batch comes back inside")
    def _():
        job = client.batch.jobs.create(requests=lines(3), model=SMALL, endpoint="/v1/chat/completions", metadata={"loopd": "a"})
        job = until_over(job)
        assert (job.status, job.succeeded_requests) == ("SUCCESS", 3), job
        assert {line["custom_id"] for line in job.outputs} == {"0", "1", "2"}
        listed = client.batch.jobs.list(page=0, page_size=10, status=["SUCCESS"])
        assert listed.total == 1 and listed.data[0].metadata == {"loopd": "a"}

    @test("a batch comes back as a file")
    def _():
        wrong = {"custom_id": "wrong", "body": {"messages": []}}
        content = "\n".join(json.dumps(line) for line in [*lines(5), wrong]).encode()
        file = client.files.upload(file={"file_name": "lines.jsonl", "content": content}, purpose="batch")
        assert file.num_lines == 6 and client.files.retrieve(file_id=file.id).filename == "lines.jsonl"
        job = until_over(client.batch.jobs.create(input_files=[file.id], model=SMALL, endpoint="/v1/chat/completions"))
        assert (job.status, job.failed_requests) == ("SUCCESS", 1), job
        read = lambda id: [json.loads(line) for line in client.files.download(file_id=id).read().splitlines()]
        good = {line["custom_id"]: line["response"]["body"] for line in read(job.output_file)}
        assert good["4"]["choices"][0]["message"]["content"] == "Export 4 crashes."
        assert [line["custom_id"] for line in read(job.error_file)] == ["wrong"]
        assert client.files.delete(file_id=file.id).deleted

    @test("a batch is cancelled")
    def _():
        job = client.batch.jobs.create(requests=lines(1), model=SMALL, endpoint="/v1/chat/completions")
        assert client.batch.jobs.cancel(job_id=job.id).status == "CANCELLATION_REQUESTED"

    @test("moderation tells categories and scores")
    def _():
        [result] = client.classifiers.moderate(model="mistral-moderation-latest", inputs=["Our contract, ada@lumen.example"]).results
        assert result.categories["pii"] and result.category_scores["law"] > 0.5

    @test("refusals are told apart")
    def _():
        stranger = Mistral(api_key="wrong", server_url=vendor["base_url"], client=paced)
        assert refusal(lambda: stranger.models.list()).status_code == 401
        messages = [{"role": "user", "content": "x"}]
        retired = refusal(lambda: client.chat.complete(model="mistral-small-2506", messages=messages))
        assert (retired.status_code, json.loads(retired.body)["type"]) == (400, "invalid_model"), retired
        invalid = refusal(lambda: ask(temperature=1.9), errors.HTTPValidationError)
        assert invalid.data.detail[0].loc == ["body", "temperature"], invalid.data

    throttled = open(faults="throttle=1")["vendors"]["mistral"]

    @test("too many is told with a time to come back")
    def _():
        client = Mistral(api_key=throttled["token"], server_url=throttled["base_url"])
        error = refusal(lambda: client.models.list())
        assert (error.status_code, error.headers["retry-after"]) == (429, "2")
        assert json.loads(error.body)["code"] == "1300"
        retries = RetryConfig("backoff", BackoffStrategy(100, 500, 1.5, 1500), False)
        began = time.monotonic()
        assert refusal(lambda: client.models.list(retries=retries)).status_code == 429
        assert time.monotonic() - began >= 1.9, "the client waits as long as it is told"
