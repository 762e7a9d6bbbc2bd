"""Finds a record that kills or hangs the worker's process, across restarts.

A worker that dies cannot report the cause, so the records that may cause it are noted before they
are judged: in the metadata string that Kafka stores with a committed offset, which the next owner
of the partition reads. The string contains a `PoisonMark`. A new owner that finds the mark of a
worker which did not release the partition counts a death and narrows down the suspects, which are
the records after the committed offset:

1. After the first death, they are judged in groups of `GROUP_RECORDS`, and each group is committed
   before the next one starts: the second death leaves one group of suspects.
2. After the second death, the records of that group are judged one at a time, with nothing else in
   the process, and each is noted before it starts.
3. At the fourth death, the record that was judged alone at the last two deaths becomes a dead
   letter without being decoded.

Suspects that are judged are no longer suspects. If all of the group are, the death had another
cause, and the remaining suspects continue in groups; after the last of them the partition is back
to normal. A worker killed for another reason costs its partitions a few small groups.

Pure: the deliveries write the marks, and the pipeline asks which records may start.
"""

from dataclasses import asdict, dataclass
from typing import Self

import orjson

from worker.domain.records import Partition

GROUP_RECORDS = 16
IN_GROUPS = 1
ALONE = 2
CONDEMNED = 4


@dataclass(frozen=True, slots=True)
class PoisonMark:
    """What is known at a committed offset about deaths caused by the records after it.

    Attributes:
        deaths: of workers, while they judged the suspects.
        suspects: the number of records, from the committed offset on, that may have caused them.
        alone: the number of these, from the first on, that must be judged alone.
        working: whether records after the offset may have started since it was committed; a worker
            that releases the partition, or is between two suspects, leaves it False.
        begins: the consumer group starts here, with this owner, and has judged nothing yet.
    """

    deaths: int = 0
    suspects: int = 0
    alone: int = 0
    working: bool = False
    begins: bool = False

    def encode(self) -> str:
        """The metadata string; empty where there is nothing to store."""
        if self == _NOTHING:
            return ""
        return orjson.dumps({"guardstream": asdict(self)}).decode()

    @classmethod
    def decode(cls, metadata: str) -> Self:
        """The mark in a metadata string; an empty one where another program wrote the string."""
        try:
            found = orjson.loads(metadata)["guardstream"]
            counts = [found[name] for name in ("deaths", "suspects", "alone")]
            flags = [found[name] for name in ("working", "begins")]
        except (ValueError, KeyError, TypeError):
            return cls()
        is_valid = all(type(n) is int and n >= 0 for n in counts)
        if not is_valid or not all(type(flag) is bool for flag in flags):
            return cls()
        return cls(counts[0], counts[1], counts[2], flags[0], flags[1])

    def after_death(self, reach: int) -> Self:
        """The mark with which the next owner starts, if the dead worker left this one.

        Args:
            reach: the most records after the offset that the dead worker can have started.
        """
        if not self.working:
            return self
        deaths = min(self.deaths + 1, CONDEMNED)
        suspects = reach if deaths == IN_GROUPS else self.suspects
        if not suspects:
            return type(self)()
        alone = min(suspects, GROUP_RECORDS) if deaths == ALONE else self.alone
        return type(self)(deaths, suspects, alone)

    def after_passing(self, records: int) -> Self:
        """The mark after this number of records have their outcome."""
        if not records:
            return self
        if not self.deaths or self.suspects <= records:
            return type(self)(working=True)
        suspects, alone = self.suspects - records, max(self.alone - records, 0)
        if not alone:
            return type(self)(IN_GROUPS, suspects, working=True)
        # the record that was judged alone is not among the remaining suspects
        return type(self)(ALONE, suspects, alone)


_NOTHING = PoisonMark()
# stored with the offset at which a group starts to read a partition
BEGINS = PoisonMark(begins=True).encode()


def describe(mark: PoisonMark, partition: Partition, offset: int) -> str:
    """A mark in one or two sentences, for the log."""
    first = f"{partition}@{offset}"
    died = "A worker ended" if mark.deaths == 1 else f"{mark.deaths} workers ended"
    while_judging = f"{died} while judging records of {partition}."
    match mark.deaths:
        case 1:
            groups = min(GROUP_RECORDS, mark.suspects)
            return (
                f"{while_judging} If a record did it, it is among the {mark.suspects} from {first}"
                f" on; judging them {groups} at a time."
            )
        case 2:
            return (
                f"{while_judging} If a record did it, it is among the {mark.alone} from {first} on;"
                " judging them one at a time, with nothing else."
            )
        case 3:
            return f"{while_judging} The suspect is {first}; judging it alone once more."
        case _:
            return f"{while_judging} {first} did it each time, at last alone; dead-lettering it."
