"""Labelled events and answers for tests."""

import orjson

from worker.domain.engines import EngineReference
from worker.domain.questions import STANDARD_TASKS
from worker.domain.verdicts import GuardReference
from worker.evaluation.answers import Answer
from worker.evaluation.columns import Columns
from worker.evaluation.labelled import Labelled, read_event
from worker.evaluation.results import Provenance
from worker.guards.guardreasoner.guard import GuardReasoner

GUARD = GuardReasoner()
REFERENCE = GuardReference("guardreasoner", "m", None, GUARD.prompt_sha256)
ENGINE = EngineReference("vllm", "1")
PROVENANCE = Provenance(
    "events.jsonl", "ab", REFERENCE, ENGINE, None, "2026-01-01T00:00:00.000Z", "1"
)
NAMELESS = Columns({})


def labels(prompt=None, refusal=None, harm=None):
    return dict(zip(STANDARD_TASKS, (prompt, refusal, harm), strict=True))


def line(name="a", *, prompt="How do I bake bread?", response="With flour.", given=None, **more):
    given = labels("unharmful", "compliance", "unharmful") if given is None else given
    document = {"id": name, "prompt": prompt, "response": response, "labels": given, **more}
    return orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS)


def event(name="a", **fields):
    return read_event("line 1", line(name, **fields))


def labelled(*events):
    return Labelled("events.jsonl", "ab", list(events), [])


def answer(prompt=None, refusal=None, harm=None, status="complete"):
    return Answer(status, labels(prompt, refusal, harm))


def completion(request="unharmful", refusal="compliance", response="unharmful"):
    return f"Answers: \nRequest: {request}\nCompletion: {refusal}\nResponse: {response}"
