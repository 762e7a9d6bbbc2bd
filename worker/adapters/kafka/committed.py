"""What a group has committed, believed only where its coordinator answered without an error.

aiokafka 0.14 looks at the error of each partition in an OffsetFetch response, but not at the error
of the response itself, which exists since version 2. With such an error the response names
no partitions, and `AIOKafkaConsumer.committed` returns None: "no commit". A broker that is not the
coordinator, or is still loading the group, answers so, and a worker that believed it would read
the topic again from its start. See docs/aiokafka.md.

The worker therefore sends its own request. It asks in version 7 where the broker has it (2.5 and
later), for stable offsets: while a transaction that commits an offset is pending, the coordinator
then reports that instead of the offset before it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.commit import OffsetFetchRequest_v3
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from worker.domain.errors import BusUnavailable, Retriable
from worker.domain.records import CommittedOffset, Partition

_BACKOFF_SECONDS = 0.1
_NO_COMMIT = -1

_TOPIC_AUTHORIZATION_FAILED = 29
_GROUP_AUTHORIZATION_FAILED = 30
# aiokafka 0.14 has no class for the newer of these
_CODES = {
    3: "UNKNOWN_TOPIC_OR_PARTITION",
    7: "REQUEST_TIMED_OUT",
    14: "COORDINATOR_LOAD_IN_PROGRESS",
    15: "COORDINATOR_NOT_AVAILABLE",
    16: "NOT_COORDINATOR",
    _TOPIC_AUTHORIZATION_FAILED: "TOPIC_AUTHORIZATION_FAILED",
    _GROUP_AUTHORIZATION_FAILED: "GROUP_AUTHORIZATION_FAILED",
    88: "UNSTABLE_OFFSET_COMMIT: a transaction that commits it is still open",
}
# after these another broker may be the coordinator; KAFKA-17267 is why a time-out is among them
_LOOK_UP_AGAIN = (7, 15, 16)


class _Refused(Exception):  # noqa: N818 - an answer, which becomes one of `worker.domain.errors`
    """The response, or a partition in it, has an error code; or it leaves a partition out."""

    def __init__(self, code: int, what: str | None = None) -> None:
        super().__init__(what or _CODES.get(code, f"error code {code}"))
        self.code = code


async def fetch_committed(
    consumer: AIOKafkaConsumer,
    group_id: str,
    partitions: Collection[Partition],
    *,
    seconds: float,
    stable: bool = True,
) -> dict[Partition, CommittedOffset | None]:
    """The group's commit of each of these partitions; None only where its coordinator has none.

    Any error is tried again, and the coordinator is looked up again where it may have moved, until
    `seconds` have passed.

    Args:
        consumer: Started, and a member of the group or not.
        group_id: The consumer's group.
        partitions: All of them are asked for in one request.
        seconds: How long to try.
        stable: Wait until no transaction is pending that commits one of these offsets. Callers
            that only show offsets do not need that.

    Raises:
        Retriable: No answer without an error came in time.
        BusUnavailable: The right to read the group's offsets, or to see the topic, is missing.
    """
    if not partitions:
        return {}
    request = _OffsetFetch(group_id, partitions, stable=stable)
    coordinator = consumer._coordinator  # noqa: SLF001 - its `committed` cannot be believed
    reason = "no answer"
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    await coordinator.ensure_coordinator_known()
                    # marks the coordinator dead when it cannot be reached
                    response = await coordinator._send_req(request)  # noqa: SLF001
                    return _believed(response, partitions)
                except (GroupAuthorizationFailedError, TopicAuthorizationFailedError) as error:
                    raise _unauthorized(group_id, type(error).__name__) from error
                except _Refused as refusal:
                    if refusal.code in (_TOPIC_AUTHORIZATION_FAILED, _GROUP_AUTHORIZATION_FAILED):
                        raise _unauthorized(group_id, str(refusal)) from refusal
                    reason = str(refusal)
                    if refusal.code in _LOOK_UP_AGAIN:
                        coordinator.coordinator_dead()
                except KafkaError as error:
                    reason = type(error).__name__
                await asyncio.sleep(_BACKOFF_SECONDS)
    except TimeoutError as error:
        raise Retriable(
            f"The committed offset of {_names(partitions)} could not be loaded ({reason})."
        ) from error


def _believed(
    response: Response, partitions: Collection[Partition]
) -> dict[Partition, CommittedOffset | None]:
    """What the response reports of these partitions, all of them.

    Raises:
        _Refused: It has an error, or leaves a partition out.
    """
    answer: dict[str, Any] = response.to_object()
    if answer["error_code"]:
        raise _Refused(answer["error_code"])
    found: dict[Partition, CommittedOffset | None] = {}
    for topic in answer["topics"]:
        for partition in topic["partitions"]:
            if partition["error_code"]:
                raise _Refused(partition["error_code"])
            where, offset = Partition(topic["topic"], partition["partition"]), partition["offset"]
            metadata = partition["metadata"] or ""
            found[where] = None if offset == _NO_COMMIT else CommittedOffset(offset, metadata)
    if missing := [partition for partition in partitions if partition not in found]:
        raise _Refused(0, f"the response leaves out {_names(missing)}")
    return {partition: found[partition] for partition in partitions}


def _unauthorized(group_id: str, why: str) -> BusUnavailable:
    return BusUnavailable(
        f"Kafka refuses to report the committed offsets of group {group_id} ({why}); grant Read on"
        " the group and on its topics."
    )


def _names(partitions: Iterable[Partition]) -> str:
    return ", ".join(map(str, partitions))


# Version 7 (KIP-447), which aiokafka does not have.
class _Response(Response):  # type: ignore[misc] # aiokafka's types are not known
    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", CompactString("utf-8")),
                        ("error_code", Int16),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("error_code", Int16),
        ("tags", TaggedFields),
    )


class _Struct(RequestStruct):  # type: ignore[misc] # aiokafka's types are not known
    API_KEY = 9
    API_VERSION = 7
    RESPONSE_TYPE = _Response
    FLEXIBLE_VERSION = True
    SCHEMA = Schema(
        ("consumer_group", CompactString("utf-8")),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                ("partitions", CompactArray(Int32)),
                ("tags", TaggedFields),
            ),
        ),
        ("require_stable", Boolean),
        ("tags", TaggedFields),
    )


class _OffsetFetch(Request[OffsetFetchRequest_v3 | _Struct]):  # type: ignore[misc] # as above
    API_KEY = 9

    def __init__(self, group_id: str, partitions: Iterable[Partition], *, stable: bool) -> None:
        self._group_id = group_id
        self._stable = stable
        self._numbers: dict[str, list[int]] = defaultdict(list)
        for topic, number in partitions:
            self._numbers[topic].append(number)

    def build(self, request_struct_class: type[RequestStruct]) -> RequestStruct:
        if request_struct_class is _Struct:
            topics: list[Any] = [(topic, numbers, {}) for topic, numbers in self._numbers.items()]
            return _Struct(self._group_id, topics, self._stable, {})
        return request_struct_class(self._group_id, list(self._numbers.items()))
