"""How a new owner of a partition handles the mark that is stored with the committed offset.

See `worker.domain.poison` for the mark and for how the suspects are narrowed down.
"""

import logging
from dataclasses import dataclass, replace

from worker.delivery.suspect_window import SuspectWindow
from worker.domain.poison import PoisonMark, describe
from worker.domain.ports import Source
from worker.domain.records import CommittedOffset, Partition

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Adopted:
    """Where an owner starts.

    Attributes:
        found: what was committed.
        marked: the same offset with the mark of this owner. It is committed before any record is
            begun: the next owner must see a death from then on.
        window: which records may be begun.
    """

    found: CommittedOffset
    marked: CommittedOffset
    window: SuspectWindow


class Takeover:
    """One owner's attempts to take its partition over: only the first of them counts a death.

    Args:
        most_begun: records of a partition that are begun behind its committed offset.
        announced: offset and mark that this worker may have stored before it lost the partition,
            without beginning the record: they are no sign of a death.
    """

    def __init__(
        self,
        source: Source,
        partition: Partition,
        most_begun: int,
        announced: tuple[int, PoisonMark] | None = None,
    ) -> None:
        self._source = source
        self._partition = partition
        self._most_begun = most_begun
        self._announced = announced
        self._found: CommittedOffset | None = None
        self._mark = PoisonMark()

    @property
    def offset(self) -> int | None:
        """Where the owner started; None before the first attempt that read the offset."""
        return None if self._found is None else self._found.offset

    async def adopt(self) -> Adopted:
        """Read the committed offset and its mark.

        Raises:
            Retriable: the offset could not be read.
        """
        found = await self._source.locate(self._partition)
        window = SuspectWindow(await self._mark_after(found), self._most_begun)
        return Adopted(found, CommittedOffset(found.offset, window.mark.encode()), window)

    async def _mark_after(self, found: CommittedOffset) -> PoisonMark:
        """The mark to start under: with one more death if the last owner died."""
        mark = PoisonMark.decode(found.metadata)
        if self._found is not None and self._found != found:
            return replace(mark, working=False)  # this owner wrote it
        if self._found is None:
            if self._announced == (found.offset, mark):
                mark = replace(mark, working=False)
            reach = 0
            if mark.working:
                ends = await self._source.ends([self._partition])
                end = ends.get(self._partition, found.offset)
                reach = min(max(end - found.offset, 0), self._most_begun)
            self._mark = mark.after_death(reach)
            self._found = found
            if self._mark.deaths > mark.deaths:
                logger.warning("%s", describe(self._mark, self._partition, found.offset))
        return self._mark
