"""Workers that break a guarantee, to prove that the harness would see it.

`python -m tests.chaos.mutants NAME run` is `python -m worker run` with one thing done wrong, in
its own process only. Each mutant comes with the faults under which it must be found out.
"""

import asyncio
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka import TopicPartition

from tests.chaos.alone import watch
from tests.chaos.coordinator import misdirect
from tests.chaos.faults import Planned
from tests.chaos.oracle import Guarantee
from tests.chaos.poisoned import poison
from worker.adapters.kafka import publisher
from worker.adapters.kafka.starting_offsets import StartingOffsets
from worker.adapters.kafka.transactions import KafkaTransactions, KafkaTransactor
from worker.delivery.at_least_once import AtLeastOnce
from worker.delivery.exactly_once import ExactlyOnce
from worker.domain.errors import Retriable
from worker.domain.records import CommittedOffset, Partition, Record


def commit_before_produce() -> None:
    """Offsets move as records are received, as with a client that commits by itself."""
    received = AtLeastOnce.received

    def receive_and_resolve(self, record: Record) -> bool:
        is_ours = received(self, record)
        self._ledger.resolve(record.partition, record.epoch, record.offset)
        return is_ours

    AtLeastOnce.received = receive_and_resolve


def unawaited_deliveries() -> None:
    """What was handed to the client counts as delivered."""

    async def send_and_hope(producer, records) -> list[object]:
        for record in records:
            await producer.send(
                record.topic, key=record.key, value=record.value, headers=list(record.headers)
            )
        return [None] * len(records)

    publisher.send_all = send_and_hope


def no_fencing() -> None:
    """Every owner of a partition has a transactional id of its own, so no former one is fenced.

    A transaction that was begun is finished, also when the partition is lost meanwhile: else it
    would depend on milliseconds whether a worker that wakes up commits before it is told.
    """
    start, commit = KafkaTransactions.open, KafkaTransactor.commit

    async def commit_to_the_end(self, records, offsets) -> None:
        committing = asyncio.ensure_future(commit(self, records, offsets))
        try:
            await asyncio.shield(committing)
        finally:
            await asyncio.wait([committing])

    async def open_unfenced(self, transactional_id: str):
        return await start(self, f"{transactional_id}.{uuid.uuid4().hex}")

    KafkaTransactions.open, KafkaTransactor.commit = open_unfenced, commit_to_the_end


def stale_epoch() -> None:
    """What an epoch left uncommitted is committed in the next one, whoever had it in between."""
    left = {}  # partition -> outcomes, and the offset behind them
    commit, revoked = ExactlyOnce._commit, ExactlyOnce.revoked

    def keep(self, partition: Partition) -> None:
        buffer = self._buffers.get(partition)
        end = self._ledger.committable([partition]).get(partition)
        if buffer is not None and end is not None and (outcomes := buffer.leave(end, 500)):
            left[partition] = outcomes, end

    async def commit_what_was_left(self, buffer, transactor) -> None:
        if buffer.partition in left:
            outcomes, end = left.pop(buffer.partition)
            outgoing = [outgoing for o in outcomes for outgoing in o.outgoing]
            await transactor.commit(outgoing, {buffer.partition: CommittedOffset(end)})
        try:
            await commit(self, buffer, transactor)
        except Retriable:
            keep(self, buffer.partition)
            raise

    async def revoke_and_keep(self, partitions) -> None:
        for partition in partitions:
            keep(self, partition)
        await revoked(self, partitions)

    ExactlyOnce._commit, ExactlyOnce.revoked = commit_what_was_left, revoke_and_keep


def believes_any_answer() -> None:
    """No commit is what any answer without one says, as with aiokafka's own `committed`."""

    async def fetch_and_believe(self, partitions):
        found = {}
        for partition in partitions:
            offset = await self._consumer().committed(TopicPartition(*partition))
            found[partition] = None if offset is None else CommittedOffset(offset, "")
        return found

    misdirect()
    StartingOffsets._fetch_committed = fetch_and_believe


# the session, the news of its end, a rebalance with its drain, and the judging
_FREEZE_SECONDS = 15.0
# on a slow machine a freeze falls into a transaction: it must still be open afterwards
_OUTLASTS_A_FREEZE = {"DELIVERY__TRANSACTION_TIMEOUT_SECONDS": str(_FREEZE_SECONDS + 10)}


@dataclass(frozen=True, slots=True)
class Mutant:
    """What is broken, and the faults that must bring it to light as one of `seen_as`."""

    patch: Callable[[], None]
    guarantee: Guarantee
    schedule: Sequence[Planned]
    seen_as: str
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long the faults take."""
        return self.schedule[-1].after + 4


def _kills() -> list[Planned]:
    return [Planned(1 + 4.0 * n, "kill worker", 0.5 * (n % 2)) for n in range(3)]


def _outages() -> list[Planned]:
    """Each broker dies in turn, and both workers while nobody has taken its place."""
    schedule = []
    for n in range(3):
        at = 1.0 + 13 * n
        schedule.append(Planned(at, "kill broker", 0.1 + n / 3))
        schedule += [Planned(at + 1.5, "kill worker", draw) for draw in (0.1, 0.2)]
    return schedule


def _freezes() -> list[Planned]:
    """One worker after the other, each until the other has taken over and committed."""
    return [Planned(1 + 18.0 * n, "freeze worker", 0.5 * n, _FREEZE_SECONDS) for n in range(2)]


_COMMITS_OFTEN = {"DELIVERY__COMMIT_INTERVAL_SECONDS": "0.2"}
_MANY_UNDER_WAY = {
    "DELIVERY__TRANSACTION_INTERVAL_SECONDS": "0.5",
    "ENGINE__SIMULATED__TIME_TO_FIRST_TOKEN_SECONDS": "0.5",
}
MUTANTS: Mapping[str, Mutant] = {
    "commit-before-produce": Mutant(
        commit_before_produce, "at_least_once", _kills(), "lost", _COMMITS_OFTEN
    ),
    "unawaited-deliveries": Mutant(
        unawaited_deliveries, "at_least_once", _outages(), "lost", _COMMITS_OFTEN
    ),
    "no-fencing": Mutant(
        no_fencing,
        "exactly_once",
        _freezes(),
        "duplicated",
        _MANY_UNDER_WAY | _OUTLASTS_A_FREEZE,
    ),
    "stale-epoch": Mutant(stale_epoch, "exactly_once", _freezes(), "duplicated", _MANY_UNDER_WAY),
    "believes-any-answer": Mutant(believes_any_answer, "exactly_once", _kills(), "duplicated"),
}
# What a worker must bear, done within its own process, where no fault from outside is sure to hit.
TROUBLES: Mapping[str, Callable[[], None]] = {"misdirected": misdirect}


def main() -> None:
    """Break the worker as the first argument says, and run it with the others."""
    from worker.cli import main as run_worker  # noqa: PLC0415 - what is broken comes first

    name = sys.argv.pop(1)
    patch = TROUBLES[name] if name in TROUBLES else MUTANTS[name].patch
    poison()
    watch()
    patch()
    run_worker()


if __name__ == "__main__":
    main()
