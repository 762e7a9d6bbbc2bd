"""The categories of verdicts, by a number of codes that is known before the first verdict."""

from collections.abc import Iterable

from worker.domain.verdicts import Verdict
from worker.telemetry import names
from worker.telemetry.instruments import Instruments

OTHER = "other"
_MOST_CODES = 100


class Categories:
    """Counts verdicts by the codes of their categories.

    Args:
        codes: those that the guard names; a completion that spells another makes no time series.
    """

    def __init__(self, instruments: Instruments, codes: Iterable[str]) -> None:
        known = list(dict.fromkeys(codes))[:_MOST_CODES]
        self._known = frozenset(known)
        self._instruments = instruments
        # from the start, so that a first one is a rise
        for code in [*known, OTHER] if known else []:
            instruments.counter(names.CATEGORIES, code)

    def codes_of(self, verdict: Verdict) -> list[str]:
        """The known codes of a verdict, each once, and `other` for those that are not known."""
        codes = (one.code for one in verdict.categories)
        return list(dict.fromkeys(code if code in self._known else OTHER for code in codes))

    def count(self, verdict: Verdict) -> None:
        """Count a verdict that has categories."""
        for code in self.codes_of(verdict):
            self._instruments.counter(names.CATEGORIES, code).add()
