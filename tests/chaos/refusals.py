"""Topics that refuse what is written to them, by their configuration on the live cluster."""

import asyncio
from collections.abc import Mapping
from typing import Any

from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int8, Int16, Int32, Schema, String

from tests.chaos.cluster import NODES
from tests.chaos.leaders import _admin
from worker.adapters.kafka.connection import Connection

_TOPIC = 2
_SET, _DELETE = 0, 1
_ASK_SECONDS = 15.0
_AGAIN_SECONDS = 0.5

# All replicas must be in sync: while a broker is down, every produce is refused. (More than there
# are would change nothing: brokers take the number of replicas for the most.)
UNWRITABLE: Mapping[str, str] = {"min.insync.replicas": str(NODES)}
# large dead letters are refused, small ones are not
NARROW: Mapping[str, str] = {"max.message.bytes": "3000"}


async def refuse(connection: Connection, topic: str, how: Mapping[str, str]) -> None:
    """Let a topic refuse records, until `accept`.

    Raises:
        KafkaError, TimeoutError: the brokers do not answer, or do not take it.
    """
    async with asyncio.timeout(_ASK_SECONDS):
        await _alter(connection, topic, [(name, _SET, value) for name, value in how.items()])


async def accept(connection: Connection, topic: str, how: Mapping[str, str]) -> None:
    """Give a topic its defaults again; tries for as long as it takes."""
    while True:
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                await _alter(connection, topic, [(name, _DELETE, None) for name in how])
        except (KafkaError, OSError, TimeoutError):
            await asyncio.sleep(_AGAIN_SECONDS)
        else:
            return


async def _alter(
    connection: Connection, topic: str, entries: list[tuple[str, int, str | None]]
) -> None:
    async with _admin(connection) as admin:
        answer = await admin._send_to_controller(_AlterRequest(topic, entries))
    for code, *_ in answer.responses:
        if code:
            raise for_code(code)


# A change of single configurations (KIP-339), which aiokafka does not have.
class _AlterResponse(Response):
    API_KEY = 44
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "responses",
            Array(
                ("error_code", Int16),
                ("error_message", String("utf-8")),
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
            ),
        ),
    )


class _AlterStruct(RequestStruct):
    API_KEY = 44
    API_VERSION = 0
    RESPONSE_TYPE = _AlterResponse
    SCHEMA = Schema(
        (
            "resources",
            Array(
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
                (
                    "configs",
                    Array(
                        ("name", String("utf-8")),
                        ("config_operation", Int8),
                        ("value", String("utf-8")),
                    ),
                ),
            ),
        ),
        ("validate_only", Boolean),
    )


class _AlterRequest(Request[_AlterStruct]):
    API_KEY = 44

    def __init__(self, topic: str, entries: list[tuple[str, int, str | None]]) -> None:
        self._topic = topic
        self._entries = entries

    def build(self, request_struct_class: type[_AlterStruct]) -> Any:
        return request_struct_class([(_TOPIC, self._topic, self._entries)], False)
