"""Verdicts on composed exchanges, and their labels, for tests."""

from tests.unit.evaluation.rows import ENGINE, REFERENCE, line
from worker.domain.engines import Usage
from worker.domain.verdicts import VerdictSource
from worker.evaluation.labelled import read_event
from worker.flow.judge import judge_event
from worker.guards.guardreasoner.parser import parse


def verdict(number, example, *, completion=None, reasoning=True, flags=()):
    judgement = parse(
        completion or example.completion,
        has_response=example.response is not None,
        finish_reason="stop",
    )
    event = read_event("line 1", labelled(number, example)).event
    return judge_event(
        judgement,
        event=event,
        event_id=str(number),
        source=VerdictSource("events", 0, number, "2026-01-01T00:00:00.000Z"),
        guard=REFERENCE,
        engine=ENGINE,
        usage=Usage(1, 1, 0),
        finish_reason="stop",
        flags=flags,
        with_reasoning=reasoning,
        received_at=0.0,
        judged_at=0.0,
    )


def labelled(number, example, given=None):
    return line(
        str(number),
        prompt=example.prompt,
        response=example.response,
        given=given or example.labels,
        metadata={"tenant": "a"},
    )
