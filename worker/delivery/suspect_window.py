"""Which records of a partition may be begun while some of them may kill the process.

See `worker.domain.poison` for how the suspects are narrowed down.
"""

from bisect import bisect_left
from dataclasses import replace

from worker.domain.poison import ALONE, CONDEMNED, GROUP_RECORDS, PoisonMark


class SuspectWindow:
    """Which records of a partition may be begun, under one owner.

    Args:
        mark: the one under which the owner starts.
        most: how many records may be begun behind the committed offset when there is no suspect:
            what is begun beyond it could not be found after a death.
    """

    def __init__(self, mark: PoisonMark, most: int) -> None:
        self._mark = replace(mark, working=mark.working or mark.deaths < ALONE)
        self._most = most
        self._begun: list[int] = []  # offsets that are not committed yet, ascending
        self._closed = False

    @property
    def mark(self) -> PoisonMark:
        """The mark to store with the current committed offset."""
        return self._released(self._mark) if self._closed else self._mark

    @property
    def room(self) -> int:
        """How many more records may be begun now, with others in the process."""
        if self._closed or self._mark.deaths >= ALONE:
            return 0
        return (GROUP_RECORDS if self._mark.deaths else self._most) - len(self._begun)

    @property
    def is_crowded(self) -> bool:
        """Whether a commit would allow more records, which are needed now or soon."""
        most = 0 if self._mark.deaths else self._most // 2
        return len(self._begun) > most

    @property
    def wants_alone(self) -> bool:
        """Whether the next record must be begun with nothing else in the process."""
        return self._mark.deaths >= ALONE and not self._begun and not self._closed

    @property
    def is_condemned(self) -> bool:
        """Whether the next record is taken for the one that killed its workers."""
        return self._mark.deaths >= CONDEMNED and not self._begun

    @property
    def deaths(self) -> int:
        """How many workers died over the suspects."""
        return self._mark.deaths

    @property
    def is_suspecting(self) -> bool:
        """Whether a record is being judged alone, and a death would be attributed to it."""
        return self._mark.deaths >= ALONE and self._mark.working

    @property
    def announced(self) -> PoisonMark | None:
        """The mark by which a record begins alone, while none has begun; None at other times.

        It may be stored even if its commit failed.
        """
        if self._mark.deaths < ALONE or self._begun:
            return None
        return replace(self._mark, working=True)

    def suspect(self, *, begins: bool) -> None:
        """A record is about to be begun alone, or has been judged: `mark` shows it from now on."""
        self._mark = replace(self._mark, working=begins)

    def begin(self, offset: int) -> None:
        """A record is begun."""
        self._begun.append(offset)

    def mark_at(self, offset: int) -> PoisonMark:
        """The mark to store with this offset, when it is committed."""
        after = self._mark.after_passing(bisect_left(self._begun, offset))
        return self._released(after) if self._closed else after

    @staticmethod
    def _released(mark: PoisonMark) -> PoisonMark:
        return replace(mark, working=False, begins=False)

    def pass_commit(self, offset: int) -> None:
        """This offset was committed, with the mark of `mark_at`."""
        passed = bisect_left(self._begun, offset)
        self._mark = self._mark.after_passing(passed)
        del self._begun[:passed]

    def close(self) -> None:
        """The partition is being released: nothing more is begun, and no death is counted."""
        self._closed = True
