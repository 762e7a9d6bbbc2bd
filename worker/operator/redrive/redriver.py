"""Sends dead letters back, on aiokafka: each with its note, in one transaction.

The transactional id belongs to the dead-letter topic, so of two redrives at once the later fences
the earlier, and what a crash left open is aborted before the notes are read. After an error nothing
is tried again with the same producer: its next commit could cover what failed (aiokafka 0.14).
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
    Letter,
    Plan,
    Selection,
    Survey,
    notes_of,
    redriven_record,
)

_LETTERS_AT_ONCE = 100
# readers of committed records wait this long for a redrive that crashed
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
    """Decide about every letter that is there now and, if told to, send those that are taken.

    `progress` is told how many offsets were read, and of how many.

    Raises:
        BusUnavailable: the brokers, the topic or the rights are not there; says what was sent.
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
        letters: list[Letter] = []
        async for record in read_ranges(connection, ranges, passed=passed):
            letter = plan.consider(record)
            if letter is not None and redriver is not None:
                letters.append(letter)
                if len(letters) == _LETTERS_AT_ONCE:
                    await redriver.send(letters)
                    letters = []
        if redriver is not None and letters:
            await redriver.send(letters)
        return plan
    finally:
        if redriver is not None:
            await redriver.stop()


class Redriver:
    """Sends letters of one dead-letter topic back to where they came from."""

    def __init__(self, connection: Connection, dead_letter_topic: str) -> None:
        self._connection = connection
        self._topic = dead_letter_topic
        self._transactor: KafkaTransactor | None = None
        self._sent = 0

    async def start(self) -> None:
        """Fence every other redrive of this topic.

        Raises:
            BusUnavailable: the brokers, the topic or the rights are not there.
        """
        transactions = KafkaTransactions(
            self._connection, topics=[self._topic], timeout_seconds=_TRANSACTION_SECONDS
        )
        await transactions.start()
        try:
            self._transactor = await transactions.open(self._transactional_id)
        except (Retriable, BusUnavailable) as error:
            raise self._refused(error.__cause__) from error

    async def send(self, letters: Sequence[Letter]) -> None:
        """Send all of these back, or none.

        Raises:
            BusUnavailable: none was sent; the redriver is of no more use.
        """
        if self._transactor is None:
            raise BusUnavailable("The redriver was not started.")
        outgoing = [*map(redriven_record, letters), *notes_of(letters)]
        try:
            await self._transactor.commit(outgoing, {})
        except (Retriable, BusUnavailable) as error:
            raise self._refused(error.__cause__) from error
        self._sent += len(letters)

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
                    f"Kafka refuses us the transactional id {self._transactional_id}"
                    f" ({type(error).__name__}); grant the right to write and describe it."
                )
            case TopicAuthorizationFailedError():
                what = (
                    f"Kafka refuses to let us write to the original topics or to {self._topic};"
                    " grant the rights."
                )
            case _:
                what = (
                    f"The dead letters could not be sent back ({type(error).__name__}); look at"
                    f" Kafka at {self._connection.bootstrap_servers} and run redrive again."
                )
        return BusUnavailable(f"{what} {before}" if self._sent else what)
