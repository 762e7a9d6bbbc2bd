"""Finds the record that kills or freezes the process, over restarts.

A worker that dies says nothing, so what may have killed it is written down before it is begun: in
the metadata string that Kafka keeps beside a committed offset, which every next owner of the
partition reads. The string holds a `PoisonMark`. Each new owner that finds the mark of a worker
which never released the partition counts a death, and narrows down the suspects, which are the
records behind the committed offset:

1. after the first death, they are judged in groups of `GROUP_RECORDS`, and each group is committed
   before the next one begins: the second death leaves one group of suspects;
2. after the second death, those of that group are judged one at a time, with nothing else in the
   process, and each is written down before it begins;
3. a record over which a worker died twice that way is condemned: at the fourth death. It becomes
   a dead letter without being decoded.

Suspects that pass are suspects no more. If all of the group pass, its death had another reason,
and those that are left go on in groups; with the last of them the partition is as it was. A worker
killed for another reason costs its partitions no more than some small groups.

Pure: the deliveries write the marks, the pipeline asks what may be begun.
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
    """What is known at a committed offset of the deaths over the records behind it.

    Attributes:
        deaths: of workers, over the suspects.
        suspects: how many records, from the committed offset on, may have caused them.
        alone: how many of these, the first ones, are to be judged alone.
        working: whether records behind the offset may have been begun since it was committed; a
            worker that releases the partition, or is between two suspects, leaves it False.
        begins: the group has begun here, under this owner, and has judged nothing yet.
    """

    deaths: int = 0
    suspects: int = 0
    alone: int = 0
    working: bool = False
    begins: bool = False

    def encode(self) -> str:
        """The metadata string; empty where nothing is to be remembered."""
        if self == _NOTHING:
            return ""
        return orjson.dumps({"guardstream": asdict(self)}).decode()

    @classmethod
    def decode(cls, metadata: str) -> Self:
        """The mark that a metadata string holds; an empty one where another program wrote it."""
        try:
            found = orjson.loads(metadata)["guardstream"]
            counts = [found[name] for name in ("deaths", "suspects", "alone")]
            flags = [found[name] for name in ("working", "begins")]
        except (ValueError, KeyError, TypeError):
            return cls()
        is_whole = all(type(n) is int and n >= 0 for n in counts)
        if not is_whole or not all(type(flag) is bool for flag in flags):
            return cls()
        return cls(counts[0], counts[1], counts[2], flags[0], flags[1])

    def after_death(self, reach: int) -> Self:
        """The mark under which the next owner begins, if this is what the dead one left.

        Args:
            reach: how many records behind the offset the dead worker can have begun at most.
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
        """The mark once so many of the records behind the offset have their outcome."""
        if not records:
            return self
        if not self.deaths or self.suspects <= records:
            return type(self)(working=True)
        suspects, alone = self.suspects - records, max(self.alone - records, 0)
        if not alone:
            return type(self)(IN_GROUPS, suspects, working=True)
        # the record that was begun alone is not among those that are left
        return type(self)(ALONE, suspects, alone)


_NOTHING = PoisonMark()
# beside the offset at which a group begins to read a partition
BEGINS = PoisonMark(begins=True).encode()


def describe(mark: PoisonMark, partition: Partition, offset: int) -> str:
    """What a mark means to an operator who reads the log, in a sentence or two."""
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
