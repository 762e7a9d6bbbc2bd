"""How much of some records the settings understand: what `map` and `check` report."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields

from worker.decoding.decoder import Decoded, Decoding, EventDecoder
from worker.decoding.mapping import load_mapping, presets
from worker.domain.errors import RecordError
from worker.domain.events import Event, Skip
from worker.domain.records import Record

SHOWN_REFUSALS = 3
# the fields of an event that a mapping can find, in the order of the table
FIELDS = tuple(one.name for one in fields(Event) if one.name != "judged")


@dataclass(frozen=True, slots=True)
class RefusedExchange:
    """An exchange that cannot be judged, and the place of its record."""

    place: str
    error: RecordError


@dataclass(slots=True)
class Understanding:
    """Counts over records.

    Attributes:
        understood: records without a refused exchange; what is skipped is understood too.
        exchanges: that would be judged.
        with_response: those of them that have a response.
        flags: of these exchanges.
        found: by field of an event, in how many of these exchanges it was found.
        refused: exchanges, by the name of their error.
        first_refused: the first of them.
    """

    records: int = 0
    understood: int = 0
    exchanges: int = 0
    with_response: int = 0
    flags: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    skipped: Counter[Skip] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    first_refused: list[RefusedExchange] = field(default_factory=list)

    def add(self, place: str, decoding: Decoding) -> None:
        """Count what a record holds."""
        self.records += 1
        self.skipped.update(decoding.skipped)
        is_understood = True
        for one in decoding.exchanges:
            if isinstance(one, Decoded):
                self._add_exchange(one)
                continue
            is_understood = False
            self.refused[type(one.error).__name__] += 1
            if len(self.first_refused) < SHOWN_REFUSALS:
                where = place if one.number is None else f"{place}, exchange {one.number}"
                self.first_refused.append(RefusedExchange(where, one.error))
        self.understood += is_understood

    def _add_exchange(self, one: Decoded) -> None:
        self.exchanges += 1
        self.with_response += one.exchange.response is not None
        self.flags.update(one.exchange.flags)
        for name in FIELDS:
            self.found[name] += getattr(one.event, name) is not None

    @property
    def in_a_line(self) -> str:
        """The counts, and the first reason for a refusal."""
        text = f"{self.understood} of {self.records} records are understood"
        notes = [f"{self.exchanges} exchanges"]
        notes += [f"{count} skipped as {reason}" for reason, count in self.skipped.items()]
        text = f"{text} ({', '.join(notes)})"
        if not self.first_refused:
            return text
        first = self.first_refused[0]
        return f"{text}; {first.place}: {type(first.error).__name__}: {first.error}"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """How well a mapping fits; `name` is `none` for records that are events already."""

    name: str
    understanding: Understanding

    @property
    def fit(self) -> tuple[int, int]:
        """Larger is better: fields that were found, each response as one more; then no refusals.

        A record that is skipped says nothing: most mappings skip what they do not know.
        """
        found = self.understanding
        return found.found.total() + found.with_response, -found.refused.total()


def suggest(records: Sequence[Record]) -> list[Suggestion]:
    """All mappings that understand a record, the best one first."""
    found = [Suggestion(name, _understand(records, name)) for name in ("none", *presets())]
    return sorted(
        (one for one in found if one.understanding.exchanges),
        key=lambda one: one.fit,
        reverse=True,
    )


def _understand(records: Iterable[Record], name: str) -> Understanding:
    decoder, found = EventDecoder(mapping=load_mapping(name)), Understanding()
    for record in records:
        found.add(str(record), decoder.decode(record))
    return found
