import uuid
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.harness import WorkerHarness
from worker.domain.verdicts import GuardReference, VerdictSource, rfc3339, verdict_id


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_timestamp_of_kafka_can_be_written(timestamp_ms):
    written = rfc3339(timestamp_ms / 1000)
    assert datetime.fromisoformat(written).utcoffset().total_seconds() == 0
    assert len(written) == len("2026-01-01T00:00:00.000Z")


@pytest.mark.parametrize(
    ("timestamp_ms", "written"),
    [
        (1_764_000_000_123, "2025-11-24T16:00:00.123Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (2**63 - 1, "9999-12-31T23:59:59.000Z"),
        (-(2**63), "0001-01-01T00:00:00.000Z"),
    ],
)
def test_a_time_that_the_format_cannot_hold_is_its_nearest_end(timestamp_ms, written):
    assert rfc3339(timestamp_ms / 1000) == written


@given(
    st.integers(0, 10**6), st.integers(0, 10**12), st.text(st.characters(exclude_categories=["Cs"]))
)
def test_a_verdicts_id_is_the_uuid_of_its_source_and_guard(partition, offset, model):
    source, guard = VerdictSource("t", partition, offset, ""), GuardReference("g", model, None, "s")
    name = "\x00".join(("t", str(partition), str(offset), "g", model, "", "s"))
    namespace = uuid.UUID("6f1c2f0e-3a57-5c55-9d0b-4a0e6e0d7c11")
    assert verdict_id(source, guard) == str(uuid.uuid5(namespace, name))


@given(st.integers(0, 4_000_000_000_000))
def test_a_time_is_written_to_its_millisecond(timestamp_ms):
    seconds, milliseconds = divmod(timestamp_ms, 1000)
    time = datetime.fromtimestamp(seconds, UTC).replace(microsecond=milliseconds * 1000)
    assert rfc3339(timestamp_ms / 1000) == time.isoformat(timespec="milliseconds")[:-6] + "Z"


async def test_a_verdict_can_be_a_cloudevent_too():
    harness = WorkerHarness("at_least_once", cloudevents=True)
    harness.bus.append("events", value=b'{"id": "e-1", "prompt": "hello"}', key=b"k")
    async with harness.running():
        await harness.until(lambda: harness.delivery.settled == 1)
    (verdict,) = harness.bus.topic("verdicts")
    value, headers = orjson.loads(verdict.value), dict(verdict.headers)
    envelope = {name: v.decode() for name, v in headers.items() if name.startswith("ce_")}
    assert envelope == {
        "ce_specversion": "1.0",
        "ce_id": value["verdict_id"],
        "ce_source": "/guardstream/group",
        "ce_type": "guardstream.verdict.2",
        "ce_subject": "e-1",
        "ce_time": value["judged_at"],
    }
    assert headers["content-type"] == b"application/json"


async def test_a_verdict_is_none_unless_told_to():
    harness = WorkerHarness("at_least_once")
    harness.bus.append(
        "events", value=b'{"prompt": "hello"}', headers=(("ce_specversion", b"1.0"),), key=b"k"
    )
    async with harness.running():
        await harness.until(lambda: harness.delivery.settled == 1)
    (verdict,) = harness.bus.topic("verdicts")
    assert not [name for name, _ in verdict.headers if name.startswith("ce_")]


DESCRIBE_THE_VALUE = [
    "__value_schema_id",
    "__key_schema_id",
    "__TypeId__",
    "__KeyTypeId__",
    "__ContentTypeId__",
    "__Key_TypeId__",
    "spring_json_header_types",
    "kafka_dlt-exception-message",
    "retry_topic-attempts",
    "contentType",
    "Content-Type",
    "content-encoding",
    "Content-Length",
    "schemaId",
    "apicurio.value.globalId",
    "confluent.value.schemaId",
    "__debezium.newkey",
    "__connect.errors.topic",
    "ce_type",
    "cloudEvents:type",
]


async def test_a_verdict_carries_only_headers_that_describe_the_exchange():
    harness = WorkerHarness("at_least_once")
    mine = (("x-tenant", b"t"), ("X-Request-Id", b"r"), ("id", b"7"), ("x-tenant", b"u"))
    headers = (*((name, b"1") for name in DESCRIBE_THE_VALUE), *mine)
    harness.bus.append("events", value=b'{"prompt": "hello"}', headers=headers, key=b"k")
    async with harness.running():
        await harness.until(lambda: harness.delivery.settled == 1)
    (verdict,) = harness.bus.topic("verdicts")
    added = {"content-type", "guardstream.schema", "guardstream.event_id", "guardstream.status"}
    carried = [(n, v) for n, v in verdict.headers if n not in added and "guardstream" not in n]
    assert carried == list(mine)
    assert dict(verdict.headers)["content-type"] == b"application/json"
