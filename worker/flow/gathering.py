"""Records with several exchanges: one outcome, when the last exchange is judged or refused."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from worker.domain.errors import RecordError
from worker.domain.outcomes import ExchangeOutcome
from worker.domain.records import OutgoingRecord


@dataclass(slots=True, eq=False)
class GatheredRecord:
    """The outcomes of the exchanges of one record, until they are complete.

    Attributes:
        left: how many exchanges are neither judged nor refused yet.
    """

    left: int
    _outcomes: list[ExchangeOutcome] = field(default_factory=list)

    def add(
        self,
        number: int | None,
        judged: Sequence[OutgoingRecord] = (),
        error: RecordError | None = None,
    ) -> list[ExchangeOutcome]:
        """Add the records of the verdict on an exchange, or its error.

        Returns all outcomes in the order of the record if this was the last one, else none.
        """
        if number is None:
            raise ValueError("an exchange of several has a number")
        self._outcomes.append(ExchangeOutcome(number, tuple(judged), error))
        self.left -= 1
        return [] if self.left else sorted(self._outcomes, key=lambda one: one.number)
