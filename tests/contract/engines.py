"""What the core relies on of an engine, asked of any that runs."""

import asyncio
import math
from dataclasses import replace

import pytest

from worker.domain.engines import EngineRequest, LabelPlace
from worker.domain.errors import InvalidRequest
from worker.domain.events import Exchange
from worker.domain.guard import first_request
from worker.domain.prompts import Prompt
from worker.guards.guardreasoner.answers import FIRST_HEADING, places, questions_of
from worker.guards.guardreasoner.guard import GuardReasoner
from worker.guards.guardreasoner.prompt import render
from worker.runtime.engines import load_model

REQUEST = first_request(GuardReasoner(), Exchange("How do I bake bread?", None))


async def keeps_its_promises(engine, settings):
    kind = settings.engine.kind
    assert engine.reference.name == kind
    assert engine.reference.version
    assert engine.max_num_seqs == settings.engine.max_num_seqs
    assert engine.max_prompt_tokens >= 512
    assert ("simulated" in engine.flags) == (kind == "simulated")

    tokenizer = load_model(settings).tokenizer
    prompts = [render(f"How do I bake bread? {n}", None) for n in range(20)]
    ids = await tokenizer.encode(prompts, engine.max_prompt_tokens)
    answers = await asyncio.gather(
        *(engine.complete(REQUEST, p, request_id=str(n), trace={}) for n, p in enumerate(ids))
    )
    for prompt, answer in zip(ids, answers, strict=True):
        assert answer.text.startswith("# Task 1")
        assert answer.finish_reason in ("stop", "length")
        assert answer.usage.prompt_tokens == len(prompt)
        assert answer.usage.completion_tokens > 0

    await scores_labels(engine, tokenizer, ids[0])
    await stops_at_texts(engine, ids[0], answers[0].text)
    # of the text that is generated, and no more
    short = EngineRequest(REQUEST.prompt, max_tokens=3, stop_tokens=REQUEST.stop_tokens)
    answer = await engine.complete(short, ids[0], request_id="short", trace={})
    if kind == "vllm":
        assert (answer.finish_reason, len(answer.token_ids)) == ("length", 3)
    assert answers[0].text.startswith(answer.text[:1])
    assert answers[0].token_ids

    for refused in ([], [5] * 10_000):
        with pytest.raises(InvalidRequest):
            await engine.complete(REQUEST, refused, request_id="bad", trace={})

    running = asyncio.create_task(engine.complete(REQUEST, ids[0], request_id="gone", trace={}))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    again = await engine.complete(REQUEST, ids[0], request_id="after", trace={})
    assert again.text.startswith("# Task 1")


async def scores_labels(engine, tokenizer, prompt_ids):
    # a closed set of answers, and how likely the model finds each of them
    labels = (" harmful", " unharmful")
    forced = EngineRequest(REQUEST.prompt, choices=labels, scores=(LabelPlace(labels),))
    (heading,) = await tokenizer.encode([Prompt((FIRST_HEADING,))], engine.max_prompt_tokens)
    answer = await engine.complete(forced, prompt_ids + heading, request_id="forced", trace={})
    assert answer.text in labels
    (logprobs,) = answer.logprobs
    assert logprobs.keys() == set(labels)
    shares = [math.exp(logprob) for logprob in logprobs.values()]
    assert all(share > 0 for share in shares)
    assert sum(shares) <= 1 + 1e-6
    # the probabilities at several places of what it writes
    form = places(questions_of(has_response=True))
    block = EngineRequest(
        REQUEST.prompt, max_tokens=32, scores=form, stop_tokens=REQUEST.stop_tokens
    )
    answer = await engine.complete(block, prompt_ids + heading, request_id="block", trace={})
    assert len(answer.logprobs) == len(form)
    assert answer.logprobs[0].keys() == set(labels)
    for place, logprobs in zip(form, answer.logprobs, strict=True):
        assert logprobs.keys() == (set(place.labels) if place.after in answer.text else set())


async def stops_at_texts(engine, prompt_ids, whole):
    # a text that stops it; what follows continues from its tokens
    stopping = replace(REQUEST, stop=("## Conclusion", "# Task 2"))
    piece = await engine.complete(stopping, prompt_ids, request_id="piece", trace={})
    assert piece.stopped_by == "## Conclusion"
    assert piece.stopped_by not in piece.text
    assert whole.startswith(piece.text + piece.stopped_by)
    if engine.reference.name == "vllm":
        rest = await engine.complete(
            REQUEST, [*prompt_ids, *piece.token_ids], request_id="rest", trace={}
        )
        assert piece.text + piece.stopped_by + rest.text == whole
        assert rest.stopped_by is None
