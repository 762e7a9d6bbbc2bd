"""Which rights are missing, by Kafka's own account (KIP-430): nothing is written to find out."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    IncompatibleBrokerVersion,
    KafkaError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Bytes, Int16, Int32, Schema, String

from worker.adapters.kafka.connection import Connection

_TEXT = String("utf-8")
_ASK_SECONDS = 15.0
_ASK_AGAIN_SECONDS = 0.2
# Kafka's codes of operations, which are the numbers of bits
_READ, _WRITE, _DESCRIBE_CONFIGS = 3, 4, 10
# what a broker that does not report operations sends
_UNREPORTED = -(1 << 31)


@dataclass(frozen=True, slots=True)
class Rights:
    """What is missing, each as `Read on topic chat-events`.

    Args:
        unsized: outputs whose largest record is Kafka's default as far as the worker may know.
    """

    missing: list[str]
    unsized: list[str]


async def find_missing_rights(
    connection: Connection, *, reads: Collection[str], writes: Collection[str], group_id: str
) -> Rights | None:
    """What a worker would be refused; None from brokers that do not report it.

    Raises:
        BusUnavailable: no broker answers.
    """
    async with connection.connecting(), asyncio.timeout(_ASK_SECONDS):
        admin = AIOKafkaAdminClient(**connection.arguments())
        try:
            await admin.start()
            topics = await _on_topics(admin, {*reads, *writes})
            group = await _on_group(admin, group_id)
        except IncompatibleBrokerVersion:
            return None
        finally:
            await admin.close()
    missing = [f"Read on topic {name}" for name in reads if not _has(topics.get(name), _READ)]
    missing += [f"Write on topic {name}" for name in writes if not _has(topics.get(name), _WRITE)]
    if not _has(group, _READ):
        missing.append(f"Read on group {group_id}")
    unsized = [n for n in writes if not _has(topics.get(n), _DESCRIBE_CONFIGS)]
    return Rights(missing, unsized)


def _has(bits: int | None, operation: int) -> bool:
    return bits is None or bits == _UNREPORTED or bool(bits & (1 << operation))


async def _on_topics(admin: AIOKafkaAdminClient, names: Collection[str]) -> dict[str, int]:
    """The bits of topics that are there, or may be."""
    answer = await admin._send_request(_TopicRights(names))  # noqa: SLF001
    found = {}
    for code, name, *_, bits in answer.topics:
        error = for_code(code)
        if error is TopicAuthorizationFailedError:
            found[name] = 0
        elif error is not UnknownTopicOrPartitionError:
            found[name] = bits
    return found


async def _on_group(admin: AIOKafkaAdminClient, group_id: str) -> int:
    while True:
        try:
            coordinator = await admin.find_coordinator(group_id)
            answer = await admin._send_request(_GroupRights(group_id), coordinator)  # noqa: SLF001
            code, *_, bits = answer.groups[0]
            if code:
                raise for_code(code)
            return int(bits)
        except GroupAuthorizationFailedError:
            return 0
        except KafkaError as error:
            # the first that asks for a group in a new cluster has Kafka make a topic for it
            if not error.retriable:
                raise
            await asyncio.sleep(_ASK_AGAIN_SECONDS)


class _TopicRightsAnswer(Response):  # type: ignore[misc]
    API_KEY, API_VERSION = 3, 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT))),
        ("cluster_id", _TEXT),
        ("controller", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("name", _TEXT),
                ("internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("in_sync", Array(Int32)),
                        ("offline", Array(Int32)),
                    ),
                ),
                ("operations", Int32),
            ),
        ),
        ("cluster_operations", Int32),
    )


class _TopicRightsStruct(RequestStruct):  # type: ignore[misc]
    API_KEY, API_VERSION = 3, 8
    RESPONSE_TYPE = _TopicRightsAnswer
    SCHEMA = Schema(
        ("names", Array(_TEXT)),
        ("create", Boolean),
        ("with_cluster_operations", Boolean),
        ("with_topic_operations", Boolean),
    )


class _TopicRights(Request[_TopicRightsStruct]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(list(self._names), False, False, True)


class _GroupRightsAnswer(Response):  # type: ignore[misc]
    API_KEY, API_VERSION = 15, 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "groups",
            Array(
                ("error_code", Int16),
                ("group_id", _TEXT),
                ("state", _TEXT),
                ("protocol_type", _TEXT),
                ("protocol", _TEXT),
                (
                    "members",
                    Array(
                        ("member_id", _TEXT),
                        ("client_id", _TEXT),
                        ("client_host", _TEXT),
                        ("metadata", Bytes),
                        ("assignment", Bytes),
                    ),
                ),
                ("operations", Int32),
            ),
        ),
    )


class _GroupRightsStruct(RequestStruct):  # type: ignore[misc]
    API_KEY, API_VERSION = 15, 3
    RESPONSE_TYPE = _GroupRightsAnswer
    SCHEMA = Schema(("groups", Array(_TEXT)), ("with_operations", Boolean))


class _GroupRights(Request[_GroupRightsStruct]):  # type: ignore[misc]
    API_KEY = 15

    def __init__(self, group_id: str) -> None:
        self._group_id = group_id

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class([self._group_id], True)
