"""Sends dead letters back, each with its note in the same transaction.

The transactional id belongs to the dead-letter topic. So of two concurrent redrives the later one
fences the earlier one, and a transaction left open by a crash is aborted before the notes are read.
After an error, the same producer is not used again: its next commit could include the failed
records (aiokafka 0.14).
"""

from collections.abc import Callable, Sequence

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    ProducerFenced,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from worker.adapters.kafka.connection import Connection, describe_topics
from worker.adapters.kafka.reader import held_offsets, read_ranges
from worker.adapters.kafka.transactions import KafkaTransactions, KafkaTransactor
from worker.domain.errors import BusUnavailable, Retriable
from worker.operator.redrive.redriving import (
    DeadLetter,
    Plan,
    Selection,
    Survey,
    notes_of,
    redriven_record,
)

_DEAD_LETTERS_AT_ONCE = 100
# after a crash, consumers with read_committed wait this long
_TRANSACTION_SECONDS = 30.0

Progress = Callable[[int, int], None]


async def redrive(
    connection: Connection,
    dead_letter_topic: str,
    selection: Selection,
    *,
    max_deliveries: int,
    limit: int | None = None,
    send: bool = False,
    progress: Progress = lambda _done, _of: None,
) -> Plan:
    """Plan the redrive of all current dead letters and, with `send`, send the selected ones.

    `progress` is called with the number of offsets that were read, and their total.

    Raises:
        BusUnavailable: the brokers, the topic or the access rights are missing; the message states
            how many were sent.
    """
    redriver = Redriver(connection, dead_letter_topic) if send else None
    try:
        if redriver is not None:
            await redriver.start()
        ranges = await held_offsets(connection, dead_letter_topic, since_ms=selection.since_ms)
        total = 2 * sum(map(len, ranges.values()))
        done = 0

        def passed(offsets: int) -> None:
            nonlocal done
            done += offsets
            progress(done, total)

        survey = Survey()
        async for record in read_ranges(connection, ranges, passed=passed):
            survey.add(record)
        known = await describe_topics(connection, survey.topics)
        sizes = {name: topic.max_bytes for name, topic in known.items()}
        plan = Plan(selection, survey.redriven, sizes, max_deliveries, limit)
        dead_letters: list[DeadLetter] = []
        async for record in read_ranges(connection, ranges, passed=passed):
            dead_letter = plan.consider(record)
            if dead_letter is not None and redriver is not None:
                dead_letters.append(dead_letter)
                if len(dead_letters) == _DEAD_LETTERS_AT_ONCE:
                    await redriver.send(dead_letters)
                    dead_letters = []
        if redriver is not None and dead_letters:
            await redriver.send(dead_letters)
        return plan
    finally:
        if redriver is not None:
            await redriver.stop()


class Redriver:
    """Sends dead letters of one topic back to their original topics."""

    def __init__(self, connection: Connection, dead_letter_topic: str) -> None:
        self._connection = connection
        self._topic = dead_letter_topic
        self._transactor: KafkaTransactor | None = None
        self._sent = 0

    async def start(self) -> None:
        """Fence other redrives of this topic.

        Raises:
            BusUnavailable: the brokers, the topic or the access rights are missing.
        """
        transactions = KafkaTransactions(
            self._connection, topics=[self._topic], timeout_seconds=_TRANSACTION_SECONDS
        )
        await transactions.start()
        try:
            self._transactor = await transactions.open(self._transactional_id)
        except (Retriable, BusUnavailable) as error:
            raise self._refused(error.__cause__) from error

    async def send(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Send all of these back, or none.

        Raises:
            BusUnavailable: none was sent; the redriver cannot be used again.
        """
        if self._transactor is None:
            raise BusUnavailable("The redriver was not started.")
        outgoing = [*map(redriven_record, dead_letters), *notes_of(dead_letters)]
        try:
            await self._transactor.commit(outgoing, {})
        except (Retriable, BusUnavailable) as error:
            raise self._refused(error.__cause__) from error
        self._sent += len(dead_letters)

    async def stop(self) -> None:
        """Disconnect, within a bounded time."""
        if self._transactor is not None:
            await self._transactor.close()

    @property
    def _transactional_id(self) -> str:
        return f"{self._topic}.redrive"

    def _refused(self, error: BaseException | None) -> BusUnavailable:
        before = f"{self._sent} dead letters were sent back before; they are marked as sent."
        match error:
            case ProducerFenced():
                what = f"Another redrive of {self._topic} has begun, so this one ends; wait for it."
            case TransactionalIdAuthorizationFailed() | ClusterAuthorizationFailedError():
                what = (
                    f"Kafka denies access to the transactional id {self._transactional_id}"
                    f" ({type(error).__name__}); grant the right to write and describe it."
                )
            case TopicAuthorizationFailedError():
                what = (
                    f"Kafka denies write access to an original topic or to {self._topic}; grant it."
                )
            case _:
                what = (
                    f"The dead letters could not be sent back ({type(error).__name__}); check"
                    f" Kafka at {self._connection.bootstrap_servers} and run redrive again."
                )
        return BusUnavailable(f"{what} {before}" if self._sent else what)
