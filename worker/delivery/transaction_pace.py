"""When the judged prefix of a partition is committed in a transaction. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TransactionPolicy:
    """When the judged prefix of a partition is committed.

    Attributes:
        max_records: so many are committed at once, and no transaction holds more.
        interval_seconds: how long after a partition's last transaction fewer wait for more to join
            them; what comes later is committed at once.
        per_second: how many transactions all partitions together begin, so that many partitions
            have longer waits under load, and not as many more transactions.
    """

    max_records: int = 500
    interval_seconds: float = 0.2
    per_second: float = 50.0


class Pace:
    """How long partitions that have something to commit wait for more."""

    def __init__(self, policy: TransactionPolicy) -> None:
        self._policy = policy
        self._next_turn = 0.0

    def wait_seconds(self, now: float, committed_at: float) -> float:
        """How long the partition that asks now is to wait; each call takes a turn.

        Args:
            now: monotonic seconds.
            committed_at: when the last transaction of the partition ended.
        """
        turn = max(self._next_turn, now)
        self._next_turn = turn + 1 / self._policy.per_second
        return max(committed_at + self._policy.interval_seconds, turn) - now
