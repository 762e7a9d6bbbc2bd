"""The benchmarks' endpoint says what `vllm serve` would."""

import asyncio
import signal
import sys

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer
from tokenizers import Tokenizer

from benchmarks.endpoint import build_endpoint
from worker.adapters.simulated import Behaviour
from worker.guards.guardreasoner.parser import parse
from worker.guards.guardreasoner.prompt import render
from worker.runtime.engines import demonstration_model

TOKENIZER = Tokenizer.from_file(f"{demonstration_model()}/tokenizer.json")
PROMPT = render("How do I bake bread?", "Knead it.").text


@pytest.fixture
async def client():
    quick = Behaviour(time_to_first_token_seconds=0, time_per_output_token_seconds=0)
    async with TestClient(TestServer(build_endpoint(quick, 8).application())) as found:
        yield found


async def complete(client, **fields):
    answer = await client.post("/v1/completions", json=fields)
    return answer.status, await answer.json()


async def test_a_completion_has_openais_shape_and_the_guards(client):
    status, answer = await complete(
        client, model="guard", prompt=PROMPT, max_tokens=400, temperature=0, stop_token_ids=[2]
    )
    assert status == 200
    assert (answer["object"], answer["model"]) == ("text_completion", "guard")
    (choice,) = answer["choices"]
    assert (choice["index"], choice["finish_reason"]) == (0, "stop")
    read = parse(choice["text"], has_response=True, finish_reason="stop")
    assert read.status == "complete"
    usage = answer["usage"]
    assert usage["prompt_tokens"] == len(TOKENIZER.encode(PROMPT).ids)
    assert usage["completion_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


async def test_every_form_of_a_prompt_is_the_same_prompt(client):
    ids = TOKENIZER.encode(PROMPT).ids
    forms = [PROMPT, [PROMPT], ids, [ids]]
    answers = [(await complete(client, prompt=form, max_tokens=400))[1] for form in forms]
    assert len({answer["choices"][0]["text"] for answer in answers}) == 1
    assert {answer["usage"]["prompt_tokens"] for answer in answers} == {len(ids)}


async def test_many_prompts_are_answered_in_their_order(client):
    prompts = [f"{PROMPT}{n}" for n in range(20)]
    _, together = await complete(client, prompt=prompts, max_tokens=400)
    alone = [(await complete(client, prompt=prompt, max_tokens=400))[1] for prompt in prompts]
    assert [choice["index"] for choice in together["choices"]] == list(range(20))
    texts = [choice["text"] for choice in together["choices"]]
    assert texts == [answer["choices"][0]["text"] for answer in alone]
    assert len(set(texts)) > 1


async def test_special_tokens_in_text_are_special_as_in_vllm_serve(client):
    _, answer = await complete(client, prompt="<|begin_of_text|><|eot_id|>")
    assert answer["usage"]["prompt_tokens"] == 2


async def test_max_tokens_cuts_and_is_16_unless_told(client):
    _, answer = await complete(client, prompt=PROMPT)
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 16


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"prompt": null}',
        b'{"prompt": []}',
        b'{"prompt": [1, "a"]}',
        b'{"prompt": [-1]}',
        b'{"prompt": "a", "max_tokens": 0}',
        b'{"prompt": "a", "max_tokens": "many"}',
        b'{"prompt": "a", "stream": true}',
        b'{"prompt": ""}',
        b'{"prompt": "' + b"bread " * 10_000 + b'"}',
    ],
    ids=lambda body: body[:30].decode(),
)
async def test_a_malformed_request_is_refused_as_openai_does(client, body):
    answer = await client.post("/v1/completions", data=body)
    assert answer.status == 400
    error = (await answer.json())["error"]
    assert error["message"]
    assert (error["type"], error["code"]) == ("BadRequestError", 400)


async def test_models_and_health_answer_and_nothing_else_does(client):
    models = await (await client.get("/v1/models")).json()
    assert [model["object"] for model in models["data"]] == ["model"]
    assert (await client.get("/health")).status == 200
    missing = await client.get("/v1/nothing")
    assert missing.status == 404
    assert (await missing.json())["error"]["code"] == 404


async def test_the_program_says_where_it_listens_and_ends_when_asked():
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.endpoint"), stdout=asyncio.subprocess.PIPE
    )
    try:
        line = (await process.stdout.readline()).decode()
        assert line.startswith("listening on http://127.0.0.1:")
        async with aiohttp.ClientSession() as session:
            health = await session.get(f"{line.split()[-1]}/health")
            assert health.status == 200
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
