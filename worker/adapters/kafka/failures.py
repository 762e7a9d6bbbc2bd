"""Why a topic did not take a record: names and kinds of produce errors, on aiokafka."""

from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    BrokerResponseError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    InvalidTimestampError,
    InvalidTopicError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedForMessageFormatError,
    kafka_errors,
)
from aiokafka.producer.sender import SendProduceReqHandler

from worker.domain.errors import NotWritten, WriteFailure


class InvalidRecordError(BrokerResponseError):  # type: ignore[misc]
    """Code 87, which aiokafka 0.14 does not know: it would be reported as an unknown error."""

    errno = 87
    message = "INVALID_RECORD"
    description = "the broker does not accept it; a compacted topic takes no record without a key"


kafka_errors.setdefault(InvalidRecordError.errno, InvalidRecordError)

_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError, RecordTooLargeError)
UNAUTHORIZED = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
_REFUSED = (
    *UNAUTHORIZED,
    InvalidRecordError,
    InvalidTimestampError,
    InvalidTopicError,
    PolicyViolationError,
    UnsupportedForMessageFormatError,
)


def is_too_large(error: BaseException) -> bool:
    """Whether it says that a record, or the batch it is in, exceeds what a topic takes."""
    return isinstance(error, _TOO_LARGE)


def not_written(topic: str, error: BaseException) -> NotWritten:
    """The error in the worker's terms; its text holds nothing of the record."""
    return NotWritten(topic, _describe(error), _kind(error))


def _kind(error: BaseException) -> WriteFailure:
    if is_too_large(error):
        return "too_large"
    return "refused" if isinstance(error, _REFUSED) else "passing"


def _describe(error: BaseException) -> str:
    name: str = getattr(error, "message", "") or type(error).__name__
    if isinstance(error, InvalidRecordError):
        return f"{name} ({error.description})"
    return name


class _RememberingHandler(SendProduceReqHandler):  # type: ignore[misc]
    """Remembers why a batch is sent again: an idempotent producer does so without end."""

    def _can_retry(self, error: BaseException, batch: Any) -> bool:
        self._sender.last_errors[batch.tp.topic] = error
        return bool(super()._can_retry(error, batch))


def remember_errors(producer: AIOKafkaProducer) -> None:
    """Have a producer keep the last error of each topic, for `last_error`."""
    sender = producer._sender  # noqa: SLF001 - the client reports it nowhere else
    sender.last_errors = {}

    async def send(node_id: int, batches: Any) -> None:
        # what Sender._send_produce_req does, with another handler
        await _RememberingHandler(sender, batches).do(node_id)
        sender._in_flight.remove(node_id)  # noqa: SLF001
        for partition in batches:
            sender._muted_partitions.remove(partition)  # noqa: SLF001

    sender._send_produce_req = send  # noqa: SLF001


def last_error(producer: AIOKafkaProducer, topic: str) -> BaseException | None:
    """The last error that a broker gave for a batch of this topic."""
    found: BaseException | None = getattr(producer._sender, "last_errors", {}).get(topic)  # noqa: SLF001
    return found
