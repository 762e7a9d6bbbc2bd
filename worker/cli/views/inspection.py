"""The history of a record, for a terminal.

Untrusted text is escaped and follows a bar in each of its lines, so that it cannot be mistaken for
output of the program.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from rich.console import Group, RenderableType
from rich.text import Text

from worker.cli.views.quoting import Quoted, quoted_completion, untrusted
from worker.cli.views.verdicts import LABEL_STYLES
from worker.decoding.decoder import EventDecoder
from worker.decoding.events import turns_of
from worker.domain.errors import RecordError
from worker.domain.escaping import printable
from worker.domain.guard import Guard
from worker.domain.judgements import COMMON_FLAGS, Reasoning
from worker.domain.records import Record
from worker.domain.verdicts import Verdict, rfc3339
from worker.operator.inspect.inspection import (
    Decoded,
    PublishedDeadLetter,
    PublishedVerdict,
    RecordHistory,
    Rejudged,
    decode,
)
from worker.telemetry.tracing import trace_id

_UNKNOWN = "yellow"
_READ_IN = {
    "answer": "in the answer",
    "section": "in its section",
    "score": "by its score",
    "repair": "in a forced answer",
}
_RAW_BYTES = 4_000


def show_history(
    history: RecordHistory,
    guard: Guard,
    rejudged: Rejudged | RecordError | None,
    *,
    group: str,
    now: float,
    plain: bool,
    decoder: EventDecoder | None = None,
) -> RenderableType:
    """Everything that is known about a record.

    `rejudged` is the result of `--again`; `now` is Unix seconds; `plain` is without colours.
    """
    parts = [*_record(history, group, now), *_content(history, guard, decoder or EventDecoder())]
    for outcome in history.outcomes:
        parts.append(Text())
        if isinstance(outcome, PublishedVerdict):
            parts += _published(history, outcome, guard, now)
        else:
            parts += _dead_letter(outcome, now)
    if not history.outcomes:
        parts += [Text(), Text(_why_no_outcome(history), _UNKNOWN)]
    if rejudged is not None:
        parts += [Text(), *_rejudged(history, rejudged, guard, plain=plain)]
    return Group(*parts, Text())


def _heading(what: str, where: object = "", more: str = "") -> Text:
    return Text.assemble((what, "bold"), f" {printable(str(where))}" if where else "", more)


def _line(name: str, value: str, style: str = "") -> Text:
    return Text.assemble((f"  {name:<22}", "dim"), (printable(value), style))


def _record(history: RecordHistory, group: str, now: float) -> Iterator[RenderableType]:
    yield _heading("Record", history.place)
    if history.missing:
        yield _line("missing", history.missing, _UNKNOWN)
    if (record := history.record) is not None:
        key = record.key
        yield _line("key", "-" if key is None else key.decode("utf-8", "backslashreplace"))
        yield _line("written", _ago(record.timestamp_ms / 1000, now))
        yield _line("trace", trace_id(record.headers) or "-")
    if history.committed is None:
        yield _line("committed", f"no; {group} has committed nothing there")
    else:
        yes = "yes" if history.is_committed else "no"
        yield _line("committed", f"{yes}; {group} resumes at offset {history.committed}")


def _content(
    history: RecordHistory, guard: Guard, decoder: EventDecoder
) -> Iterator[RenderableType]:
    record = history.original
    if record is None or record.value is None:
        return
    yield Text()
    try:
        decoded = decode(record, guard, decoder)
    except RecordError as error:
        yield _heading("Not to be judged")
        yield _line("reason", str(error), _UNKNOWN)
        yield _raw(record.value)
        return
    yield from _event(history, decoded)
    yield Text()
    yield _heading("Prompt")
    for published in history.verdicts:
        if published.verdict.guard.prompt_sha256 != guard.prompt_sha256:
            yield _line("not exact", f"{published.record} was made with another template", _UNKNOWN)
    yield Quoted([("", untrusted(decoded.prompt))])


def _raw(value: bytes) -> Quoted:
    shown = value[:_RAW_BYTES].decode("utf-8", "backslashreplace")
    rows = [("", untrusted(shown))]
    if len(value) > _RAW_BYTES:
        rows.append(("", Text(f"and {len(value) - _RAW_BYTES} bytes more", "dim")))
    return Quoted(rows)


def _event(history: RecordHistory, decoded: Decoded) -> Iterator[RenderableType]:
    event = decoded.event
    kept = "" if history.record else ", as its dead letter kept it"
    yield _heading("Event", event.id or "", kept)
    fields = event.document()
    for name in ("conversation_id", "occurred_at", "model", "user_id", "tenant"):
        if fields[name] is not None:
            yield _line(name, fields[name])
    yield Quoted((printable(role), untrusted(content)) for role, content in turns_of(event))


def _published(
    history: RecordHistory, published: PublishedVerdict, guard: Guard, now: float
) -> Iterator[RenderableType]:
    verdict, record = published.verdict, published.record
    if published.repeats is not None:
        yield _heading("Verdict", record, f", a repeat of {printable(str(published.repeats))}")
        yield _line("judged", verdict.judged_at)
        return
    yield _heading("Verdict", record)
    if not history.is_of_this_record(published):
        yield _line("beware", "the topic was recreated; this is of a record before that", "red")
    yield from _labels(verdict, guard.flags)
    made_by, engine, usage = verdict.guard, verdict.engine, verdict.usage
    revision = f" at {made_by.revision}" if made_by.revision else ""
    template = f"prompt {made_by.prompt_sha256}"
    yield _line("guard", f"{made_by.name}: {made_by.model}{revision}, {template}")
    yield _line("engine", f"{engine.name} {engine.version}")
    yield _line(
        "tokens",
        f"{usage.prompt_tokens} of prompt ({usage.cached_tokens} cached),"
        f" {usage.completion_tokens} of completion, ended by {verdict.finish_reason or '-'}",
    )
    yield from _times(verdict, record, now)
    yield _line("trace", trace_id(record.headers) or "-")
    yield _line("verdict_id", verdict.verdict_id)
    for reasoning in verdict.reasoning:
        yield from _reasoning(reasoning)


def _labels(verdict: Verdict, flags: Mapping[str, str]) -> Iterator[RenderableType]:
    yield _line("status", verdict.status, "" if verdict.status == "complete" else _UNKNOWN)
    for name, reading in verdict.readings().items():
        line = _line(name, reading.label or "-", LABEL_STYLES.get(reading.label or "", ""))
        if reading.source is not None:
            line.pad_right(12 - len(reading.label or "-"))
            line.append(_READ_IN[reading.source], "dim")
        yield line
    for at, flag in enumerate(verdict.flags):
        meaning = COMMON_FLAGS.get(flag) or flags.get(flag)
        yield _line("" if at else "flags", f"{flag}: {meaning}" if meaning else flag, _UNKNOWN)


def _times(verdict: Verdict, record: Record, now: float) -> Iterator[RenderableType]:
    """The times of processing, each with the time since the previous one."""
    before: datetime | None = None
    for name, time in (
        ("occurred", verdict.occurred_at),
        ("written", verdict.source.timestamp),
        ("received", verdict.received_at),
        ("judged", verdict.judged_at),
        ("published", rfc3339(record.timestamp_ms / 1000)),
    ):
        parsed = _parse_time(time)
        if parsed is None:
            continue
        after = "" if before is None else f"  {_span(parsed - before)} later"
        if before is None:
            after = f"  {_span(datetime.fromtimestamp(now, UTC) - parsed)} ago"
        yield _line(name, f"{time}{after}")
        before = parsed


def _parse_time(text: str | None) -> datetime | None:
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _ago(unix_seconds: float, now: float) -> str:
    return f"{rfc3339(unix_seconds)}  {_span(timedelta(seconds=now - unix_seconds))} ago"


def _span(time: timedelta) -> str:
    seconds = time.total_seconds()
    sign, seconds = "-" if seconds < 0 else "", abs(seconds)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{sign}{seconds / size:.0f} {unit}"
    return f"{sign}{seconds:.3f} s"


def _reasoning(reasoning: Reasoning) -> Iterator[RenderableType]:
    yield Text(f"  {reasoning.task}", "dim")
    rows = [(f"step {n}", untrusted(step)) for n, step in enumerate(reasoning.steps, start=1)]
    if reasoning.conclusion is not None:
        rows.append(("conclusion", untrusted(reasoning.conclusion, "bold")))
    yield Quoted(rows)


def _dead_letter(published: PublishedDeadLetter, now: float) -> Iterator[RenderableType]:
    dead_letter = published.dead_letter
    yield _heading("Dead letter", dead_letter.record)
    yield _line("stage", dead_letter.stage)
    yield _line("error", dead_letter.error, _UNKNOWN)
    yield _line("message", dead_letter.message)
    yield _line("deliveries", str(dead_letter.deliveries))
    yield _line("published", _ago(dead_letter.record.timestamp_ms / 1000, now))
    yield _line(
        "complete", "yes" if dead_letter.complete else "no; it was truncated to fit its topic"
    )
    yield _line("sent back", "yes; as a new record of its topic" if published.sent_back else "no")


def _why_no_outcome(history: RecordHistory) -> str:
    if history.record is not None and history.record.value is None:
        return "A tombstone: it is skipped and has no outcome."
    if history.is_committed:
        return (
            "No outcome was found, though the group has moved on: retention took it, it is older"
            " than --since, or the group began behind this record."
        )
    return "No outcome yet."


def _rejudged(
    history: RecordHistory, rejudged: Rejudged | RecordError, guard: Guard, *, plain: bool
) -> Iterator[RenderableType]:
    yield _heading("Asked again")
    if isinstance(rejudged, RecordError):
        yield _line("no answer", str(rejudged), _UNKNOWN)
        return
    verdict = rejudged.verdict
    yield _line(
        "completion",
        "of the engine of the settings, now, at temperature 0; the verdict may be made of another",
    )
    yield from _labels(verdict, guard.flags)
    yield _line("ended by", verdict.finish_reason or "-")
    if (published := history.latest) is not None:
        differences = [
            f"{task} was {then or '-'}, is {now or '-'}"
            for task, then, now in rejudged.disagreements(published.verdict)
        ]
        other = published.verdict.verdict_id != verdict.verdict_id
        agreement = (
            f"differ from {published.record}: " if differences else f"agree with {published.record}"
        )
        agreement += "; ".join(differences) + (" (that is another guard's)" if other else "")
        yield _line("labels", agreement, _UNKNOWN if differences else "green")
    for completion, spans in zip(rejudged.completions, rejudged.spans, strict=True):
        yield quoted_completion(completion.text, spans, plain=plain)
