"""The history of a record, as a document for programs."""

from typing import Any

import orjson

from worker.decoding.decoder import EventDecoder
from worker.domain.errors import RecordError
from worker.domain.guard import Guard
from worker.domain.records import Record
from worker.domain.verdicts import encode_verdict, rfc3339
from worker.operator.inspect.inspection import (
    Outcome,
    PublishedVerdict,
    RecordHistory,
    Rejudged,
    decode,
)
from worker.telemetry.tracing import trace_id


def document(
    history: RecordHistory,
    guard: Guard,
    rejudged: Rejudged | RecordError | None,
    decoder: EventDecoder | None = None,
) -> dict[str, Any]:
    """Everything that is known about a record; unknown values are null."""
    where, offset = history.place
    return {
        "source": {"topic": where.topic, "partition": where.number, "offset": offset},
        "missing": history.missing,
        "record": _record(history.record) if history.record else None,
        **_content(history, guard, decoder or EventDecoder()),
        "is_committed": history.is_committed,
        "committed_offset": history.committed,
        "outcomes": [_outcome(history, outcome, guard) for outcome in history.outcomes],
        "again": _rejudged(history, rejudged),
    }


def _record(record: Record) -> dict[str, Any]:
    """Position, key, time and trace of a record."""
    key = record.key
    return {
        "at": str(record),
        "key": None if key is None else key.decode("utf-8", "backslashreplace"),
        "timestamp": rfc3339(record.timestamp_ms / 1000),
        "trace_id": trace_id(record.headers),
    }


def _content(history: RecordHistory, guard: Guard, decoder: EventDecoder) -> dict[str, Any]:
    content: dict[str, Any] = {"event": None, "prompt": None, "not_judged": None}
    record = history.original
    if record is not None and record.value is not None:
        try:
            decoded = decode(record, guard, decoder)
        except RecordError as error:
            content["not_judged"] = {"error": type(error).__name__, "message": str(error)}
        else:
            fields = decoded.event.document()
            content["event"] = {n: field for n, field in fields.items() if field is not None}
            content["prompt"] = decoded.prompt
    return content


def _outcome(history: RecordHistory, outcome: Outcome, guard: Guard) -> dict[str, Any]:
    if isinstance(outcome, PublishedVerdict):
        return {
            "kind": "verdict",
            **_record(outcome.record),
            "repeats": str(outcome.repeats) if outcome.repeats else None,
            "is_of_this_record": history.is_of_this_record(outcome),
            "is_of_this_prompt": outcome.verdict.guard.prompt_sha256 == guard.prompt_sha256,
            "verdict": outcome.document,
        }
    dead_letter = outcome.dead_letter
    return {
        "kind": "dead_letter",
        **_record(dead_letter.record),
        "stage": dead_letter.stage,
        "error": dead_letter.error,
        "message": dead_letter.message,
        "deliveries": dead_letter.deliveries,
        "complete": dead_letter.complete,
        "sent_back": outcome.sent_back,
    }


def _rejudged(
    history: RecordHistory, rejudged: Rejudged | RecordError | None
) -> dict[str, Any] | None:
    if rejudged is None:
        return None
    if isinstance(rejudged, RecordError):
        return {"error": type(rejudged).__name__, "message": str(rejudged)}
    latest = history.latest
    return {
        # as in a published verdict, lone surrogates become question marks
        "completion": _one_or_all(
            [one.text.encode("utf-8", "replace").decode() for one in rejudged.completions]
        ),
        "marks": _one_or_all([[span._asdict() for span in spans] for spans in rejudged.spans]),
        "verdict": orjson.loads(encode_verdict(rejudged.verdict)),
        "compared_with": str(latest.record) if latest else None,
        "labels_agree": not any(rejudged.disagreements(latest.verdict)) if latest else None,
    }


def _one_or_all(values: list[Any]) -> Any:
    """In the format that `guardstream parse` reads: a list only if there are several."""
    return values[0] if len(values) == 1 else values
