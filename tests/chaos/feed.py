"""A steady producer of events, good and bad."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.chaos.cluster import MAX_RECORD_BYTES
from tests.chaos.exchanges import EXCHANGES, conversation, plain
from tests.chaos.poisoned import MARKERS, poisonous_prompt
from worker.adapters.kafka.connection import Connection

KIND = "x-kind"
NUMBER = "x-number"

# Of a thousand records. What becomes of each is in `oracle.EXPECTED`.
SHARES: Mapping[str, int] = {
    "good": 951,
    "wide": 2,
    "malformed": 20,
    "tombstone": 20,
    "too long": 6,
    "huge": 1,
}
# of each kind of `EXCHANGES` that is wanted; the good ones are fewer by as many
_EXCHANGE_SHARE = 20
_TICK_SECONDS = 0.05
_BURST = 1500
_PEOPLE = 200


def value_of(kind: str, number: int, chance: random.Random) -> bytes | None:
    """A record's value."""
    match kind:
        case "tombstone":
            return None
        case "malformed":
            return chance.choice([b"", b"[]", b"{nonsense", b'{"prompt": "\xff"}', b"{}"])
        case _:
            return orjson.dumps({"id": str(number), **_event(kind, number)})


def _event(kind: str, number: int) -> Mapping[str, Any]:
    """An event's fields beside its id."""
    match kind:
        case "too long":
            return {"prompt": "word " * 20_000}
        case "huge":
            return {"prompt": "x" * (2 << 20)}
        case "wide":
            # much to carry, little to judge
            return {"prompt": "Hello.", "metadata": {"attachment": "x" * (MAX_RECORD_BYTES // 2)}}
        case _ if kind in MARKERS:
            return {"prompt": poisonous_prompt(kind, number)}
        case _ if (whole := conversation(kind, number)) is not None:
            return whole.event
        case _:
            return plain(number).event


def shares(kinds: Collection[str] = ()) -> dict[str, int]:
    """Of a thousand records, with these kinds of `EXCHANGES` among them."""
    more = {kind: _EXCHANGE_SHARE for kind in EXCHANGES if kind in kinds}
    return {**SHARES, "good": SHARES["good"] - sum(more.values()), **more}


class Feed:
    """Produces until told to stop, through whatever happens to the brokers.

    What was acknowledged is remembered; what was not may be in the topic all the same, so that
    the topic itself tells what the workers had to judge.

    Args:
        kinds: of `EXCHANGES`, to send among the others.

    Attributes:
        chance: what its records are drawn from.
    """

    def __init__(
        self,
        connection: Connection,
        topic: str,
        *,
        rate: float,
        seed: int,
        kinds: Collection[str] = (),
    ) -> None:
        self.acknowledged: dict[tuple[int, int], int] = {}
        self.failures: Counter[str] = Counter()
        self.sent = 0
        self._connection = connection
        self._topic = topic
        self._rate = rate
        self.chance = random.Random(seed)
        self._shares = shares(kinds)
        self._owed = 0.0
        self._producer: AIOKafkaProducer | None = None
        self._pending: set[asyncio.Task[None]] = set()

    def burst(self) -> None:
        """Send a great many records at once."""
        self._owed += _BURST

    def take_number(self) -> int:
        """A number that no other record has."""
        number, self.sent = self.sent, self.sent + 1
        return number

    async def send(self, kind: str, partition: int | None = None) -> None:
        """Send one record of a kind."""
        number = self.take_number()
        try:
            delivery = await (await self._connected()).send(
                self._topic,
                key=f"person-{self.chance.randrange(_PEOPLE)}".encode(),
                value=value_of(kind, number, self.chance),
                partition=partition,
                headers=[(KIND, kind.encode()), (NUMBER, str(number).encode())],
            )
        except (KafkaError, TimeoutError) as error:
            self.failures[type(error).__name__] += 1
            await self._close()
            return
        waiting = asyncio.create_task(self._note(number, delivery))
        self._pending.add(waiting)
        waiting.add_done_callback(self._pending.discard)

    async def run(self) -> None:
        """Produce until cancelled."""
        before = time.monotonic()
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now = time.monotonic()
            self._owed += (now - before) * self._rate
            before = now
            while self._owed >= 1:
                self._owed -= 1
                await self._send_one()

    async def finish(self, partitions: int) -> None:
        """Send a last record to each partition.

        Where a transaction's marker is the end of a partition, no consumer commits that end.
        """
        for partition in range(partitions):
            await self.send("good", partition)

    async def stop(self) -> None:
        """Wait for what is under way, within a bounded time."""
        if self._pending:
            await asyncio.wait(self._pending, timeout=60)
        for left in self._pending:
            left.cancel()
        await self._close()

    async def _send_one(self) -> None:
        await self.send(self.chance.choices(list(self._shares), list(self._shares.values()))[0])

    async def _note(self, number: int, delivery: asyncio.Future) -> None:
        try:
            done = await delivery
        except KafkaError as error:
            self.failures[type(error).__name__] += 1
            return
        self.acknowledged[done.partition, done.offset] = number

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                **self._connection.arguments(),
                enable_idempotence=True,
                max_batch_size=256 * 1024,
                max_request_size=MAX_RECORD_BYTES,
            )
            async with asyncio.timeout(15):
                await producer.start()
            self._producer = producer
        return self._producer

    async def _close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(10):
                    await producer.stop()
