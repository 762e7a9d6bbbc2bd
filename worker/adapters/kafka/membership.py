"""A group member that ends when another one takes its `group.instance.id`.

A broker fences the older of two static members with one id (FENCED_INSTANCE_ID), but only in
answer to requests that carry the id. aiokafka 0.14 sends it when it joins and not with heartbeats
or commits: the older member gets UNKNOWN_MEMBER_ID, joins again as a new member, and so evicts the
newer one; the two repeat that without end. Here a static member whose id the broker no longer knows
first asks, with a heartbeat that carries the instance id, whether another one has it now.
"""

import asyncio
from typing import Any

from aiokafka import errors
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import BrokerResponseError, InconsistentGroupProtocolError, KafkaError
from aiokafka.protocol.api import Request, RequestStruct
from aiokafka.protocol.group import HeartbeatResponse_v1
from aiokafka.protocol.types import Int32, Schema, String

from worker.domain.errors import BusUnavailable, Fatal, InstanceReplaced

_FENCED = 82
_LOADING = 14
# the answer of a broker that cannot know: COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE,
# NOT_COORDINATOR, REQUEST_TIMED_OUT
_KNOWS_NOTHING = (_LOADING, 15, 16, 7)


class InstanceFenced(BrokerResponseError):  # type: ignore[misc]  # noqa: N818
    """Another member of the group has this instance id now."""

    errno = _FENCED
    message = "FENCED_INSTANCE_ID"
    description = "Another member of the group has joined with the same group.instance.id"


# aiokafka has no class for this code, and would log it as an unknown error
errors.kafka_errors.setdefault(_FENCED, InstanceFenced)


class _HeartbeatResponse(HeartbeatResponse_v1):  # type: ignore[misc]
    API_VERSION = 3


class _InstanceHeartbeatStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 12
    API_VERSION = 3
    RESPONSE_TYPE = _HeartbeatResponse
    SCHEMA = Schema(
        ("group", String("utf-8")),
        ("generation_id", Int32),
        ("member_id", String("utf-8")),
        ("group_instance_id", String("utf-8")),
    )


class _InstanceHeartbeat(Request[_InstanceHeartbeatStruct]):  # type: ignore[misc]
    API_KEY = 12

    def __init__(self, *fields: str | int) -> None:
        self._fields = fields

    def build(self, request_struct_class: type[_InstanceHeartbeatStruct]) -> Any:
        return request_struct_class(*self._fields)


class Member(GroupCoordinator):  # type: ignore[misc]
    """aiokafka's group membership, without its endless rejoining over an instance id.

    Attributes:
        _former: generation and member id that the broker refused, until it has reported whether
            another member has replaced it.
    """

    _former: tuple[int, str] | None = None
    _is_fenced = False

    def reset_generation(self) -> None:
        """Forget the membership that the broker refused, but for one question."""
        if self.member_id and self._group_instance_id is not None:
            self._former = (self.generation, self.member_id)
        super().reset_generation()

    async def _send_req(self, request: Any) -> Any:
        response = await super()._send_req(request)
        if getattr(response, "error_code", 0) == _FENCED:
            self._is_fenced = True
        return response

    async def _do_rejoin_group(self, subscription: Any) -> bool:
        if self._former is not None and not self._is_fenced:
            try:
                answer = await self._send_req(
                    _InstanceHeartbeat(self.group_id, *self._former, self._group_instance_id)
                )
                code = answer.error_code
            except KafkaError:
                code = _LOADING  # the coordinator is looked up again already
            except NotImplementedError:
                code = 0  # a broker before 2.3 has no static members
            if code in _KNOWS_NOTHING:
                if code != _LOADING:
                    self.coordinator_dead()
                await asyncio.sleep(self._retry_backoff_ms / 1000)
                return False  # ask again
        if self._is_fenced:
            raise InstanceFenced
        # asked once: when the answer to our own next join is lost, the broker knows us by its id
        self._former = None
        try:
            return bool(await super()._do_rejoin_group(subscription))
        except KafkaError as error:
            if self._is_fenced:
                raise InstanceFenced from error
            raise


def refused_member(error: KafkaError, group_id: str, instance_id: str | None) -> Fatal:
    """Why the group does not have this worker as a member."""
    if isinstance(error, InconsistentGroupProtocolError):
        return BusUnavailable(
            f"Group {group_id} has members with another assignment strategy; name another group in"
            " input.group_id, or stop them."
        )
    return InstanceReplaced(
        f"Another worker has joined group {group_id} as {instance_id}; give each worker a"
        " unique input.group_instance_id."
    )
