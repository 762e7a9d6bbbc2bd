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


class _Journal:
    """Writes down what this process begins alone, and when that ends."""

    def __init__(self):
        self._partitions: dict[int, Partition] = {}
        self._alone: dict[Partition, int] = {}
        # the mark is being written, and the record has not begun
        self._announced: dict[Partition, int] = {}

    def taken_over(self, partition, window):
        self._partitions[id(window)] = partition
        # whatever became of the mark: this process lives, and did not begin the record
        self._end(self._announced, partition)

    def announced(self, partition, offset):
        if offset is not None:
            self._announced[partition] = offset
            _note(_BEGUN, partition, offset)

    def begun(self, window, offset):
        if window.is_suspecting:
            partition = self._partitions[id(window)]
            self._alone[partition] = offset
            _note(_BEGUN, partition, offset)
            self._end(self._announced, partition)

    def passed(self, window, offset):
        partition = self._partitions.get(id(window))
        if partition in self._alone and offset > self._alone[partition]:
            self._end(self._alone, partition)

    def cleared(self, partition):
        self._end(self._announced, partition)
        self._end(self._alone, partition)

    def _end(self, offsets, partition):
        if partition in offsets:
            _note(_DONE, partition, offsets.pop(partition))


def watch() -> None:
    """Patch this process: it writes down each record that it begins alone, and when it is done."""
    journal = _Journal()
    take, begin, passed = Delivery._begin, SuspectWindow.begin, SuspectWindow.pass_commit

    def take_over(self, partition, offset, window):
        journal.taken_over(partition, window)
        return take(self, partition, offset, window)

    def begin_one(self, offset):
        journal.begun(self, offset)
        begin(self, offset)

    def commit(self, offset):
        journal.passed(self, offset)
        passed(self, offset)

    def noting(suspect):
        async def suspect_and_note(self, partition, *, begins):
            if begins:
                journal.announced(partition, self.committed(partition))
            is_written = await suspect(self, partition, begins=begins)
            if is_written and not begins:
                journal.cleared(partition)
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
