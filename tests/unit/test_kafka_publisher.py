"""What becomes of a produce that is not acknowledged, on a producer without a broker."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka.errors import MessageSizeTooLargeError, NotEnoughReplicasError, for_code
from aiokafka.structs import TopicPartition

from worker.adapters.kafka import publisher
from worker.adapters.kafka.failures import not_written, remember_errors
from worker.domain.records import OutgoingRecord


class Answer:
    """A produce response in which each partition has this error."""

    API_VERSION = 7

    def __init__(self, code, topics):
        self.topics = [(topic, [(0, code, -1, -1, -1)]) for topic in topics]


class Client:
    def __init__(self, code):
        self.code = code

    async def send(self, _node, request):
        return Answer(self.code, [topic for topic, _ in request._topics])

    def force_metadata_update(self):
        pass

    async def _maybe_wait_metadata(self):
        pass


class Batch:
    def __init__(self, topic):
        self.tp = TopicPartition(topic, 0)

    def get_data_buffer(self):
        return b""


def producer_whose_broker_says(code):
    sender = SimpleNamespace(
        client=Client(code),
        _txn_manager=SimpleNamespace(transactional_id=None),
        _retry_backoff=0.0,
        _acks=-1,
        _request_timeout_ms=1000,
        _in_flight={0},
        _muted_partitions={TopicPartition("dead", 0)},
        _message_accumulator=SimpleNamespace(reenqueue=lambda _: None),
    )
    return SimpleNamespace(_sender=sender)


async def test_the_reason_for_which_a_producer_tries_for_ever_is_reported(monkeypatch):
    monkeypatch.setattr(publisher, "_ACKNOWLEDGED_WITHIN_SECONDS", 0.05)
    producer = producer_whose_broker_says(NotEnoughReplicasError.errno)
    remember_errors(producer)

    async def send(topic, **_):
        if topic == "dead":
            batches = {TopicPartition(topic, 0): Batch(topic)}
            await producer._sender._send_produce_req(0, batches)
        future = asyncio.get_running_loop().create_future()
        if topic != "dead":
            future.set_result("acknowledged")
        return future

    producer.send = send
    records = [OutgoingRecord(topic, None, b"", ()) for topic in ("verdicts", "dead", "slow")]
    records[2] = OutgoingRecord("verdicts", None, b"", ())
    first, second, third = await publisher.send_all(producer, records)
    assert (first, third) == ("acknowledged", "acknowledged")
    failure = not_written("dead", second)
    assert str(failure) == "The topic dead takes no record: NOT_ENOUGH_REPLICAS."
    assert failure.kind == "passing"
    # the sender may use the node and the partition again
    assert (producer._sender._in_flight, producer._sender._muted_partitions) == (set(), set())


async def test_a_record_that_the_client_refuses_does_not_keep_the_next_from_being_sent():
    async def send(topic, *, value, **_):
        if value == b"large":
            raise MessageSizeTooLargeError
        future = asyncio.get_running_loop().create_future()
        future.set_result("acknowledged")
        return future

    records = [OutgoingRecord("dead", None, value, ()) for value in (b"large", b"small")]
    refused, sent = await publisher.send_all(SimpleNamespace(send=send), records)
    assert not_written("dead", refused).kind == "too_large"
    assert sent == "acknowledged"


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (10, "too_large", "MESSAGE_SIZE_TOO_LARGE"),
        (18, "too_large", "RECORD_LIST_TOO_LARGE"),
        (87, "refused", "INVALID_RECORD (the broker"),
        (29, "refused", "TOPIC_AUTHORIZATION_FAILED"),
        (44, "refused", "POLICY_VIOLATION"),
        (19, "passing", "NOT_ENOUGH_REPLICAS"),
        (20, "passing", "NOT_ENOUGH_REPLICAS_AFTER_APPEND"),
    ],
)
def test_every_refusal_has_its_name_and_kind(code, kind, said):
    failure = not_written("dead", for_code(code)())
    assert failure.kind == kind
    assert said in str(failure)
