"""Moves the leader of a partition to another of its replicas, while all brokers are well."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import AlterPartitionReassignmentsRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Int8, Int16, Int32, Schema, String

from worker.adapters.kafka.connection import Connection
from worker.domain.records import Partition

_REQUEST_MS = 10_000
_POLL_SECONDS = 0.2
_PREFERRED = 0


async def move_leader(connection: Connection, topics: Collection[str], draw: float) -> str | None:
    """Move one partition's leader, and return when it has moved.

    Args:
        draw: In [0, 1), says which partition.

    Returns:
        What was moved whither; None if no other replica is in sync.
    """
    async with _admin(connection) as admin:
        partitions = sorted(await _describe(admin, topics))
        return await _move(admin, partitions[int(draw * len(partitions))])


async def move_leader_of(connection: Connection, where: Partition) -> str | None:
    """As `move_leader`, of the partition that is named."""
    async with _admin(connection) as admin:
        return await _move(admin, where)


async def _move(admin: AIOKafkaAdminClient, where: Partition) -> str | None:
    now = (await _describe(admin, [where.topic]))[where]
    followers = [replica for replica in now["isr"] if replica != now["leader"]]
    if not followers:
        return None
    chosen = min(followers)
    order = [chosen, *(replica for replica in now["replicas"] if replica != chosen)]
    await _prefer(admin, where, order)
    await admin._send_to_controller(_ElectLeadersRequest({where.topic: [where.number]}))
    while (await _describe(admin, [where.topic]))[where]["leader"] != chosen:
        await asyncio.sleep(_POLL_SECONDS)
    return f"{where} to broker {chosen}"


async def _describe(
    admin: AIOKafkaAdminClient, topics: Collection[str]
) -> dict[Partition, dict[str, Any]]:
    return {
        Partition(topic["topic"], partition["partition"]): partition
        for topic in await admin.describe_topics()
        if topic["topic"] in topics
        for partition in topic["partitions"]
    }


async def _prefer(admin: AIOKafkaAdminClient, where: Partition, replicas: list[int]) -> None:
    """The first of the replicas is the preferred leader."""
    topics: list[Any] = [(where.topic, [(where.number, replicas, {})], {})]
    await admin._send_to_controller(AlterPartitionReassignmentsRequest(_REQUEST_MS, topics, {}))


@asynccontextmanager
async def _admin(connection: Connection) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**connection.arguments())
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


# An election on request (KIP-460), which aiokafka does not have.
class _ElectLeadersResponse(Response):
    API_KEY = 43
    API_VERSION = 1
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "replica_election_results",
            Array(
                ("topic", String("utf-8")),
                (
                    "partition_result",
                    Array(
                        ("partition_id", Int32),
                        ("error_code", Int16),
                        ("error_message", String("utf-8")),
                    ),
                ),
            ),
        ),
    )


class _ElectLeadersStruct(RequestStruct):
    API_KEY = 43
    API_VERSION = 1
    RESPONSE_TYPE = _ElectLeadersResponse
    SCHEMA = Schema(
        ("election_type", Int8),
        ("topic_partitions", Array(("topic", String("utf-8")), ("partition_id", Array(Int32)))),
        ("timeout_ms", Int32),
    )


class _ElectLeadersRequest(Request[_ElectLeadersStruct]):
    API_KEY = 43

    def __init__(self, partitions: Mapping[str, list[int]]) -> None:
        self._partitions = partitions

    def build(self, request_struct_class: type[_ElectLeadersStruct]) -> Any:
        return request_struct_class(_PREFERRED, list(self._partitions.items()), _REQUEST_MS)
