"""Which offsets are resolved, and up to where each partition may be committed.

Only offsets that were really received are tracked: compaction and transaction markers leave gaps,
and a gap has no outcome. A partition is tracked per assignment epoch, so that an outcome of an
earlier ownership can never move an offset of this one.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from worker.domain.records import Partition


@dataclass(slots=True)
class _Account:
    epoch: int
    # offset -> resolved?, in the order received, which is the order of offsets
    entries: OrderedDict[int, bool] = field(default_factory=OrderedDict)
    unresolved: int = 0
    committable: int | None = None
    committed: int | None = None


class OffsetLedger:
    """The offsets of every assigned partition; pure, and not safe for threads.

    An offset is `receive`d, later `resolve`d once its outcome is durable; `committable` is then
    the next offset to be read (Kafka's meaning of a committed offset) for each partition whose
    contiguous resolved prefix has grown.
    """

    def __init__(self) -> None:
        self._accounts: dict[Partition, _Account] = {}

    def assign(self, partition: Partition, epoch: int, committed: int | None = None) -> None:
        """Open an empty account; what an earlier epoch left is forgotten.

        `committed` is the next offset to read that the group has committed, if it has one.
        """
        self._accounts[partition] = _Account(epoch, committable=committed, committed=committed)

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Close the accounts of partitions that were revoked or lost."""
        for partition in partitions:
            self._accounts.pop(partition, None)

    def epoch(self, partition: Partition) -> int | None:
        """The epoch under which the partition is held, or None when it is not held."""
        account = self._accounts.get(partition)
        return None if account is None else account.epoch

    def receive(self, partition: Partition, epoch: int, offset: int) -> bool:
        """Track an offset; False when it is not of the current epoch, or was seen before."""
        account = self._accounts.get(partition)
        if account is None or account.epoch != epoch:
            return False
        newest = next(reversed(account.entries)) if account.entries else None
        floor = account.committable if newest is None else newest + 1
        if floor is not None and offset < floor:
            return False
        account.entries[offset] = False
        account.unresolved += 1
        return True

    def resolve(self, partition: Partition, epoch: int, offset: int) -> bool:
        """Note that an offset has its durable outcome; False when the epoch has passed."""
        account = self._accounts.get(partition)
        if account is None or account.epoch != epoch or account.entries.get(offset) is not False:
            return False
        account.entries[offset] = True
        account.unresolved -= 1
        while account.entries:
            first = next(iter(account.entries))
            if not account.entries[first]:
                break
            del account.entries[first]
            account.committable = first + 1
        return True

    def advance(self, partition: Partition, epoch: int, position: int) -> None:
        """Take the consumer's position where nothing is unresolved.

        Past the last record may lie transaction markers or compacted offsets: without this a
        group's lag would never reach zero.
        """
        account = self._accounts.get(partition)
        if account is None or account.epoch != epoch or account.unresolved:
            return
        if account.committable is None or position > account.committable:
            account.committable = position

    def committable(self, partitions: Iterable[Partition] | None = None) -> dict[Partition, int]:
        """The next offset to read, of each partition where it is past what was committed."""
        held = self._accounts if partitions is None else partitions
        due = {}
        for partition in held:
            account = self._accounts.get(partition)
            if account is None or account.committable is None:
                continue
            if account.committable != account.committed:
                due[partition] = account.committable
        return due

    def note_commit(self, offsets: dict[Partition, int], epochs: dict[Partition, int]) -> None:
        """Note what was committed, for partitions still held under the same epoch."""
        for partition, offset in offsets.items():
            account = self._accounts.get(partition)
            if account is not None and account.epoch == epochs.get(partition):
                account.committed = offset

    def committed(self, partition: Partition) -> int | None:
        """The next offset to read that was committed, as far as is known."""
        account = self._accounts.get(partition)
        return None if account is None else account.committed

    def unresolved(self, partitions: Iterable[Partition] | None = None) -> int:
        """How many received offsets still want an outcome."""
        held = list(self._accounts) if partitions is None else partitions
        return sum(self._accounts[p].unresolved for p in held if p in self._accounts)

    def tracked(self, partition: Partition) -> int:
        """How many offsets are remembered: from the oldest unresolved one to the newest."""
        account = self._accounts.get(partition)
        return 0 if account is None else len(account.entries)
