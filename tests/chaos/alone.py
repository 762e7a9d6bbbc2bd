"""What the workers judged alone, and whose fault it was when that had no end.

A record over which two workers ended while it was alone is dead-lettered as `PoisonRecord`. The
harness ends workers so often that this can meet a good record. It is the harness' doing only where
no worker that had the record alone was ended by a poison record: then the worker blamed the wrong
one, which is a violation.
"""

import os
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from worker.delivery.at_least_once import AtLeastOnce
from worker.delivery.base import Delivery
from worker.delivery.exactly_once import ExactlyOnce
from worker.delivery.suspect_window import SuspectWindow
from worker.domain.records import Partition

# variables that begin with GUARDSTREAM_TEST_ are no settings
LOG_VARIABLE = "GUARDSTREAM_TEST_ALONE_LOG"
_BEGUN, _DONE = "begun", "done"


def watch() -> None:
    """Patch this process: it writes down each record that it begins alone, and when it is done."""
    partitions: dict[int, Partition] = {}
    alone: dict[Partition, int] = {}
    # the mark is being written, and the record has not begun
    announced: dict[Partition, int] = {}
    take, begin, passed = Delivery._begin, SuspectWindow.begin, SuspectWindow.pass_commit

    def end_announcement(partition):
        if partition in announced:
            _note(_DONE, partition, announced.pop(partition))

    def take_over(self, partition, offset, window):
        partitions[id(window)] = partition
        # whatever became of the mark: this process lives, and did not begin the record
        end_announcement(partition)
        return take(self, partition, offset, window)

    def begin_one(self, offset):
        if self.is_suspecting:
            partition = partitions[id(self)]
            alone[partition] = offset
            _note(_BEGUN, partition, offset)
            end_announcement(partition)
        begin(self, offset)

    def commit(self, offset):
        partition = partitions.get(id(self))
        if partition in alone and offset > alone[partition]:
            _note(_DONE, partition, alone.pop(partition))
        passed(self, offset)

    def noting(suspect):
        async def suspect_and_note(self, partition, *, begins):
            if begins and (offset := self.committed(partition)) is not None:
                announced[partition] = offset
                _note(_BEGUN, partition, offset)
            is_written = await suspect(self, partition, begins=begins)
            if is_written and not begins:
                end_announcement(partition)
                if partition in alone:
                    _note(_DONE, partition, alone.pop(partition))
            return is_written

        return suspect_and_note

    Delivery._begin, SuspectWindow.begin, SuspectWindow.pass_commit = take_over, begin_one, commit
    for guarantee in (AtLeastOnce, ExactlyOnce):
        guarantee.suspect = noting(guarantee.suspect)


def _note(what: str, partition: Partition, offset: int) -> None:
    if path := os.environ.get(LOG_VARIABLE):
        with Path(path).open("a") as log:
            log.write(f"{what}\t{partition.number}\t{offset}\t{os.getpid()}\n")


def unfinished(log: str) -> dict[tuple[int, int], list[int]]:
    """The records that were begun alone without an end, and the processes that had them."""
    found: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for line in log.splitlines():
        what, partition, offset, pid = line.split("\t")
        key = int(partition), int(offset)
        if what == _BEGUN:
            found[key].append(int(pid))
        elif int(pid) in found[key]:
            found[key].remove(int(pid))
    return {key: pids for key, pids in found.items() if pids}


def excused(log: str, poisoned: Collection[int]) -> set[tuple[int, int]]:
    """The records that the harness made look like poison.

    Args:
        log: what the workers wrote down.
        poisoned: the processes that a poison record ended, or in which it killed the engine.
    """
    return {
        key
        for key, pids in unfinished(log).items()
        if len(pids) >= 2 and not set(pids).intersection(poisoned)
    }
