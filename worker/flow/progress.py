"""Detects partitions that do not move: their committed offset stays while records wait."""

from collections.abc import Mapping
from dataclasses import dataclass

from worker.domain.records import Partition


@dataclass(frozen=True, slots=True)
class Standing:
    """The progress of a partition.

    Attributes:
        epoch: the assignment under which it is held.
        committed: the next offset to read that was committed; None before the first commit.
        end: where the records end that can be read.
        lag: records from the committed offset to there.
        unstable: records behind an open producer transaction, which cannot be read yet.
    """

    epoch: int
    committed: int | None
    end: int
    lag: int
    unstable: int = 0


@dataclass(slots=True)
class _Watch:
    standing: Standing
    still_since: float
    unstable_since: float | None


class Progress:
    """What has moved, and since when the rest has not.

    Args:
        stuck_seconds: how long a partition may stand still before that is reported.
    """

    def __init__(self, stuck_seconds: float) -> None:
        self._stuck_seconds = stuck_seconds
        self._watched: dict[Partition, _Watch] = {}
        self._now = 0.0

    def observe(self, standings: Mapping[Partition, Standing], now: float) -> None:
        """Record the progress of every held partition; others are forgotten.

        Args:
            standings: as measured now.
            now: seconds that never go back.
        """
        self._now = now
        watched = {}
        for partition, standing in standings.items():
            watch = self._watched.get(partition) or _Watch(standing, now, None)
            former = watch.standing
            # the time restarts with a new assignment, which may have gone back to an older offset
            moved = (former.epoch, former.committed) != (standing.epoch, standing.committed)
            if moved or not standing.lag:
                watch.still_since = now
            # a producer that is never without a transaction moves the end with each
            if not standing.unstable or standing.end != former.end:
                watch.unstable_since = None
            if standing.unstable and watch.unstable_since is None:
                watch.unstable_since = now
            watch.standing = standing
            watched[partition] = watch
        self._watched = watched

    def trouble(self) -> str | None:
        """The partition that has stood still longest, if that is too long."""
        stuck = [
            (watch.still_since, partition)
            for partition, watch in self._watched.items()
            if watch.standing.lag and self._now - watch.still_since >= self._stuck_seconds
        ]
        if not stuck:
            return None
        since, partition = min(stuck)
        others = f" (and {len(stuck) - 1} more)" if len(stuck) > 1 else ""
        lag = self._watched[partition].standing.lag
        return (
            f"{partition}{others} has not moved for {self._now - since:.0f} s with {lag:,} records"
            " of lag."
        )

    def blocked(self) -> Mapping[Partition, int]:
        """Partitions with a producer transaction open for too long: records behind it."""
        return {
            partition: watch.standing.unstable
            for partition, watch in self._watched.items()
            if watch.unstable_since is not None
            and self._now - watch.unstable_since >= self._stuck_seconds
        }
