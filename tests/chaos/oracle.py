"""What should have become of every record, and what did; pure, so that it can be tested itself."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tests.chaos.exchanges import EXCHANGES
from tests.chaos.poisoned import FREEZES_LOOP, KILLS_ENGINE, KILLS_PROCESS, MARKERS

Guarantee = Literal["at_least_once", "exactly_once"]

# A good record may end as a dead letter when the engine failed it, and for no other reason.
_ENGINES_FAULT = frozenset({"RetriesSpent", "JudgingTimedOut"})
_POISON = "PoisonRecord"
# None: no outcome at all
EXPECTED: Mapping[str, str | None] = {
    "good": "verdict",
    "wide": "verdict",
    **dict.fromkeys(EXCHANGES, "verdict"),
    "in a transaction": "verdict",
    "malformed": "dead letter",
    "too long": "dead letter",
    "huge": "dead letter",
    **dict.fromkeys(MARKERS, "dead letter"),
    "tombstone": None,
    # no reader of committed records may see it at all
    "in an aborted transaction": None,
}
# What a dead letter of such a record must say; a worker that restarts its engine in place finds
# the prompt that kills it by itself.
_NAMED: Mapping[str, frozenset[str]] = {
    KILLS_PROCESS: frozenset({"PoisonRecord"}),
    FREEZES_LOOP: frozenset({"PoisonRecord"}),
    KILLS_ENGINE: frozenset({"PoisonRecord", "EngineKiller"}),
}


@dataclass(frozen=True, slots=True)
class Given:
    """A record that the input topic holds.

    Attributes:
        prompt_tokens: of the guard's prompt for the whole exchange; None where it is not known.
        exchange: which exchange of the record; None where the workers judge only the last one.
    """

    partition: int
    offset: int
    kind: str
    number: int
    at: float
    prompt_tokens: int | None = None
    exchange: int | None = None

    @property
    def source(self) -> "Source":
        """What outcomes name."""
        return self.partition, self.offset, self.exchange


@dataclass(frozen=True, slots=True)
class Found:
    """A record that an output topic holds.

    Attributes:
        error: what a dead letter died of; empty for a verdict.
        output: topic and partition it lies in, at `position`.
        prompt_tokens: of the prompt that was judged; None for a dead letter.
        exchange: which exchange of the record; None for a record as a whole.
        action: what its headers say of the policy; None where they do not.
    """

    partition: int
    offset: int
    error: str
    verdict_id: str
    output: tuple[str, int]
    position: int
    at: float
    prompt_tokens: int | None = None
    exchange: int | None = None
    action: str | None = None


# partition, offset, and exchange
Source = tuple[int, int, int | None]


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise; `at` is when, in Unix seconds."""

    kind: str
    what: str
    at: float


def violations(
    given: Sequence[Given],
    found: Sequence[Found],
    *,
    guarantee: Guarantee,
    acknowledged: Mapping[tuple[int, int], int],
    excused: Collection[tuple[int, int]] = (),
) -> list[Violation]:
    """Every broken promise.

    `excused` are the records that the harness made look like poison: see `alone`.
    """
    outcomes = _by_source(_of_each_exchange(given, found))
    broken = _unkept(given, acknowledged)
    passed_at: dict[int, float] = {}
    for record in sorted(given, key=lambda r: (r.partition, r.offset), reverse=True):
        theirs = outcomes.pop(record.source, [])
        is_excused = (record.partition, record.offset) in excused
        broken += _fate(record, theirs, guarantee, is_excused=is_excused)
        if theirs:
            passed_at[record.partition] = min(o.at for o in theirs)
        elif EXPECTED[record.kind] is not None:
            # it was passed over when its successor was not, whenever it was sent
            at = max(record.at, passed_at.get(record.partition, record.at))
            broken.append(Violation("lost", f"{_name(record)} has no outcome", at))
    broken += [
        _violation("invented", "an outcome without a record", theirs[0])
        for theirs in outcomes.values()
    ]
    if guarantee == "exactly_once":
        broken += _disorder(found)
    return sorted(broken, key=lambda violation: violation.at)


def redelivered(found: Sequence[Found]) -> int:
    """How many outcomes repeat another."""
    return len(found) - len(_by_source(found))


def _of_each_exchange(given: Sequence[Given], found: Sequence[Found]) -> list[Found]:
    """The outcomes, those of a record as a whole once for each of its exchanges."""
    exchanges = defaultdict(list)
    for record in given:
        exchanges[record.partition, record.offset].append(record.exchange)
    return [
        replace(outcome, exchange=number)
        for outcome in found
        for number in (
            exchanges.get((outcome.partition, outcome.offset), [None])
            if outcome.exchange is None
            else [outcome.exchange]
        )
    ]


def _by_source(found: Sequence[Found]) -> dict[Source, list[Found]]:
    outcomes = defaultdict(list)
    for outcome in found:
        outcomes[outcome.partition, outcome.offset, outcome.exchange].append(outcome)
    return dict(outcomes)


def _name(record: Given) -> str:
    exchange = "" if record.exchange is None else f"#{record.exchange}"
    return f"{record.kind} record {record.partition}@{record.offset}{exchange}"


def _unkept(given: Sequence[Given], acknowledged: Mapping[tuple[int, int], int]) -> list[Violation]:
    """What Kafka acknowledged to the producer and does not hold: then nothing can be judged."""
    held = {(record.partition, record.offset): record.number for record in given}
    return [
        Violation("unkept by Kafka", f"input {partition}@{offset}, number {number}", 0.0)
        for (partition, offset), number in acknowledged.items()
        if held.get((partition, offset)) != number
    ]


def _fate(
    record: Given, outcomes: Collection[Found], guarantee: Guarantee, *, is_excused: bool
) -> list[Violation]:
    name = _name(record)
    broken = [
        _violation("wrongly judged", f"{name} has a {_kind(o)} {o.error}".rstrip(), o)
        for o in outcomes
        if not _is_expected(record.kind, o) and not (is_excused and o.error == _POISON)
    ]
    broken += [
        _violation("half judged", f"{name} was judged as {_tokens(record, o)}", o)
        for o in outcomes
        if record.prompt_tokens is not None
        and o.prompt_tokens is not None
        and o.prompt_tokens != record.prompt_tokens
    ]
    first, *more = outcomes or (None,)
    if more and guarantee == "exactly_once":
        told = ", ".join(f"{o.output[0]}/{o.output[1]}@{o.position}" for o in outcomes)
        broken.append(_violation("duplicated", f"{name} has {len(outcomes)}: {told}", more[-1]))
    ids = {o.verdict_id for o in outcomes if not o.error}
    if first is not None and len(ids) > 1:
        broken.append(_violation("renamed", f"{name} has {len(ids)} verdict ids", more[-1]))
    return broken


def _is_expected(kind: str, outcome: Found) -> bool:
    expected = EXPECTED[kind]
    if _kind(outcome) != expected:
        return expected == "verdict" and outcome.error in _ENGINES_FAULT
    return kind not in _NAMED or outcome.error in _NAMED[kind]


def _tokens(record: Given, outcome: Found) -> str:
    return f"{outcome.prompt_tokens} tokens of {record.prompt_tokens}"


def _disorder(found: Sequence[Found]) -> list[Violation]:
    """Within an output partition, outcomes of an input partition stand in its order."""
    broken = []
    newest: dict[tuple[tuple[str, int], int], int] = {}
    for outcome in sorted(found, key=lambda o: (o.output, o.position)):
        lane = outcome.output, outcome.partition
        before = newest.get(lane, -1)
        if outcome.offset < before:
            told = f"{outcome.partition}@{outcome.offset} comes after @{before}"
            broken.append(_violation("out of order", told, outcome))
        newest[lane] = max(before, outcome.offset)
    return broken


def _kind(outcome: Found) -> str:
    return "dead letter" if outcome.error else "verdict"


def _violation(kind: str, what: str, outcome: Found) -> Violation:
    topic, partition = outcome.output
    return Violation(kind, f"{what} ({topic}/{partition}@{outcome.position})", outcome.at)
