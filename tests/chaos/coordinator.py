"""Trouble with the coordinator of the workers' group: it moves, or the wrong broker is asked.

The coordinator is the leader of the group's partition of `__consumer_offsets`.
"""

import asyncio
import random
import struct
import time

from aiokafka.client import ConnectionGroup
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import KafkaError
from aiokafka.protocol.commit import OffsetFetchRequest

from tests.chaos.leaders import move_leader_of
from worker.adapters.kafka.connection import Connection, describe_topics
from worker.domain.records import Partition

_OFFSETS = "__consumer_offsets"
_MOVE_SECONDS = 10.0
# the longest is enough for a group to settle, or no partition would be taken over meanwhile
_STAY_SECONDS = (0.2, 2.0)


def group_partition(group: str, partitions: int) -> int:
    """The partition of `__consumer_offsets` that keeps a group: Java's hash of its name."""
    units = struct.unpack(f">{len(group.encode('utf-16-be')) // 2}H", group.encode("utf-16-be"))
    value = 0
    for unit in units:
        value = (31 * value + unit) % 2**32
    # as an int of Java; the absolute value of the smallest one counts as 0
    absolute = value if value < 2**31 else 2**32 - value
    return absolute % 2**31 % partitions


async def keep_moving(connection: Connection, group: str, seconds: float) -> int:
    """Move the coordinator of a group again and again; returns how often that worked."""
    topics = await describe_topics(connection, [_OFFSETS])
    where = Partition(_OFFSETS, group_partition(group, topics[_OFFSETS].partitions))
    chance = random.Random()
    moves, ends_at = 0, time.monotonic() + seconds
    while time.monotonic() < ends_at:
        try:
            async with asyncio.timeout(_MOVE_SECONDS):
                moves += await move_leader_of(connection, where) is not None
        except (KafkaError, TimeoutError):
            pass  # the brokers are in trouble as it is
        await asyncio.sleep(chance.uniform(*_STAY_SECONDS))
    return moves


def misdirect(*, share: float = 0.5) -> None:
    """In this process, send some OffsetFetch requests to a broker that is not the coordinator.

    So it is with a client that has not heard yet that the coordinator moved.
    """
    send, chance = GroupCoordinator._send_req, random.Random()

    async def send_astray(self, request):
        brokers = {broker.nodeId for broker in self._client.cluster.brokers()}
        others = sorted(brokers - {self.coordinator_id})
        is_fetch = request.API_KEY == OffsetFetchRequest.API_KEY
        if not is_fetch or not others or chance.random() > share:
            return await send(self, request)
        return await self._client.send(
            chance.choice(others), request, group=ConnectionGroup.COORDINATION
        )

    GroupCoordinator._send_req = send_astray
