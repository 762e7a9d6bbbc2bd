"""A record and what became of it, as a document for programs."""

from typing import Any

import orjson

from worker.decoding.decoder import EventDecoder
from worker.domain.errors import RecordError
from worker.domain.guard import Guard
from worker.domain.records import Record
from worker.domain.verdicts import encode_verdict, rfc3339
from worker.operator.inspect.inspection import Again, Finding, Outcome, Published, decode
from worker.telemetry.tracing import trace_id


def document(
    finding: Finding,
    guard: Guard,
    again: Again | RecordError | None,
    decoder: EventDecoder | None = None,
) -> dict[str, Any]:
    """All there is to know of a record; what is unknown is null."""
    where, offset = finding.place
    return {
        "source": {"topic": where.topic, "partition": where.number, "offset": offset},
        "missing": finding.missing,
        "record": _record(finding.record) if finding.record else None,
        **_content(finding, guard, decoder or EventDecoder()),
        "is_committed": finding.is_committed,
        "committed_offset": finding.committed,
        "outcomes": [_outcome(finding, outcome, guard) for outcome in finding.outcomes],
        "again": _again(finding, again),
    }


def _record(record: Record) -> dict[str, Any]:
    """Where and how a record lies; its value stands elsewhere."""
    key = record.key
    return {
        "at": str(record),
        "key": None if key is None else key.decode("utf-8", "backslashreplace"),
        "timestamp": rfc3339(record.timestamp_ms / 1000),
        "trace_id": trace_id(record.headers),
    }


def _content(finding: Finding, guard: Guard, decoder: EventDecoder) -> dict[str, Any]:
    content: dict[str, Any] = {"event": None, "prompt": None, "not_judged": None}
    record = finding.original
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


def _outcome(finding: Finding, outcome: Outcome, guard: Guard) -> dict[str, Any]:
    if isinstance(outcome, Published):
        return {
            "kind": "verdict",
            **_record(outcome.record),
            "repeats": str(outcome.repeats) if outcome.repeats else None,
            "is_of_this_record": finding.is_of_this_record(outcome),
            "is_of_this_prompt": outcome.verdict.guard.prompt_sha256 == guard.prompt_sha256,
            "verdict": outcome.document,
        }
    letter = outcome.letter
    return {
        "kind": "dead_letter",
        **_record(letter.record),
        "stage": letter.stage,
        "error": letter.error,
        "message": letter.message,
        "deliveries": letter.deliveries,
        "whole": letter.whole,
        "sent_back": outcome.sent_back,
    }


def _again(finding: Finding, again: Again | RecordError | None) -> dict[str, Any] | None:
    if again is None:
        return None
    if isinstance(again, RecordError):
        return {"error": type(again).__name__, "message": str(again)}
    latest = finding.latest
    return {
        # as in a published verdict, a lone surrogate becomes a question mark
        "completion": _one_or_all(
            [one.text.encode("utf-8", "replace").decode() for one in again.completions]
        ),
        "marks": _one_or_all([[span._asdict() for span in spans] for spans in again.spans]),
        "verdict": orjson.loads(encode_verdict(again.verdict)),
        "compared_with": str(latest.record) if latest else None,
        "labels_agree": not any(again.disagreements(latest.verdict)) if latest else None,
    }


def _one_or_all(values: list[Any]) -> Any:
    """As `guardstream parse` reads completions: a list only where there are several."""
    return values[0] if len(values) == 1 else values
