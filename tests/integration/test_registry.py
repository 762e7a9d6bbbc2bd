"""What the serialisers of confluent-kafka write is read through a real schema registry."""

import asyncio
import json
from datetime import UTC, datetime

import aiohttp
import pytest
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.schema_registry.serde import SchemaId
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import Default
from google.protobuf.message_factory import GetMessageClass

from tests.integration import apicurio
from tests.integration.harness import produce, start_process
from tests.integration.harness import read as read_topic
from worker.adapters.kafka.reader import committed_offsets
from worker.adapters.registry.errors import RegistryUnavailable
from worker.demo.kafka.broker import free_ports
from worker.domain.errors import NotAnEvent
from worker.domain.records import OutgoingRecord, Partition, Record
from worker.runtime.settings import load_settings
from worker.runtime.values import build_value_reader

pytestmark = pytest.mark.integration

PART = {"type": "record", "name": "chat.Part", "fields": [{"name": "text", "type": "string"}]}
EVENT = {
    "type": "record",
    "name": "chat.Event",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "occurred_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "parts", "type": {"type": "array", "items": "chat.Part"}},
        {"name": "response", "type": ["null", "string"]},
    ],
}
IN_TEXT = """
syntax = "proto3";
package chat.text;
import "part.proto";
import "google/protobuf/timestamp.proto";
message Other { string id = 1; }
message Event { string id = 1; repeated Part parts = 2; google.protobuf.Timestamp at = 3; }
"""
PART_IN_TEXT = 'syntax = "proto3"; package chat.text; message Part { string text = 1; }'


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with apicurio.running(tmp_path_factory.mktemp("apicurio")) as address:
        yield address


@pytest.fixture
def client(url):
    # one request of some hundred gets no answer from this registry; the client sends it again
    with SchemaRegistryClient({"url": url, "timeout": 5}) as connected:
        yield connected


def in_header(payload, context, schema_id):
    """The id as `header_schema_id_serializer` writes it where a registry has no GUIDs."""
    context.headers.append(("__value_schema_id", schema_id.id_to_bytes()))
    return payload


def record(serializer, value, topic):
    context = SerializationContext(topic, MessageField.VALUE, headers=[])
    body = serializer(value, context)
    headers = tuple(context.headers)
    return Record(Partition(topic, 0), 0, 0, None, body, headers, 0, 0.0)


async def read(url, *records):
    registry = {"url": url, "timeout_seconds": 5}
    settings = load_settings(input={"framing": "registry", "registry": registry})
    reader = build_value_reader(settings)
    for attempt in range(3):
        try:
            await reader.load(records)
            break
        except RegistryUnavailable:
            # it left a request without an answer; a worker asks again too
            if attempt == 2:
                raise
    return [reader.read(one) for one in records]


@pytest.fixture(params=["in front", "in the header"])
def placed(request):
    return {} if request.param == "in front" else {"schema.id.serializer": in_header}


async def test_avro_with_a_reference_is_read(url, client, placed):
    client.register_schema("part", Schema(json.dumps(PART), "AVRO"))
    references = [SchemaReference("chat.Part", "part", 1)]
    schema = Schema(json.dumps(EVENT), "AVRO", references)
    serializer = AvroSerializer(client, schema, conf=placed)
    at = datetime(2026, 11, 28, 1, 2, 3, tzinfo=UTC)
    event = {"id": "a", "occurred_at": at, "parts": [{"text": "Hi"}], "response": None}
    (found,) = await read(url, record(serializer, event, "avro"))
    assert found == event | {"occurred_at": "2026-11-28T01:02:03+00:00"}


async def test_json_schema_is_read(url, client, placed):
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "E", "type": "object"}
    serializer = JSONSerializer(json.dumps(schema), client, conf=placed)
    (found,) = await read(url, record(serializer, {"id": "a"}, "json"))
    assert found == {"id": "a"}


@pytest.fixture(scope="module")
def messages():
    """A message, and one within another, as a program of protoc would declare them."""
    file = FileDescriptorProto(name="chat/event.proto", package="chat.event", syntax="proto3")
    file.dependency.append("google/protobuf/struct.proto")
    text = FieldDescriptorProto.TYPE_STRING
    event = file.message_type.add(name="Event")
    event.field.add(name="id", number=1, label=1, type=text)
    event.field.add(name="sent_ms", number=2, label=1, type=FieldDescriptorProto.TYPE_INT64)
    more = event.field.add(name="more", number=3, label=1, type=FieldDescriptorProto.TYPE_MESSAGE)
    more.type_name = ".google.protobuf.Struct"
    within = file.message_type.add(name="Outer").nested_type.add(name="Within")
    within.field.add(name="text", number=1, label=1, type=text)
    Default().Add(file)
    names = ("chat.event.Event", "chat.event.Outer.Within")
    return [GetMessageClass(Default().FindMessageTypeByName(name)) for name in names]


async def test_protobuf_is_read(url, client, placed, messages):
    event = messages[0](id="ä", sent_ms=1_795_827_723_000)
    event.more.update({"tags": ["a", 1]})
    within = messages[1](text="deep")
    records = [
        record(ProtobufSerializer(type(message), client, placed), message, topic)
        for message, topic in ((event, "protobuf"), (within, "protobuf-within"))
    ]
    assert await read(url, *records) == [
        {"id": "ä", "sent_ms": 1_795_827_723_000, "more": {"tags": ["a", 1]}},
        {"text": "deep"},
    ]


async def test_protobuf_that_was_registered_as_text_is_read(url, client):
    client.register_schema("part.proto", Schema(PART_IN_TEXT, "PROTOBUF"))
    references = [SchemaReference("part.proto", "part.proto", 1)]
    number = client.register_schema("text-value", Schema(IN_TEXT, "PROTOBUF", references))
    frame = SchemaId("PROTOBUF", number, message_indexes=[1]).id_to_bytes()
    value = frame + b"\x0a\x01a" + b"\x12\x04\x0a\x02Hi" + b"\x1a\x02\x08\x05"
    found = await read(url, Record(Partition("text", 0), 0, 0, None, value, (), 0, 0.0))
    assert found == [{"id": "a", "parts": [{"text": "Hi"}], "at": "1970-01-01T00:00:05Z"}]


async def test_an_id_that_the_registry_does_not_have_is_no_event(url):
    unknown = Record(Partition("in", 0), 0, 0, None, b"\x00\x7f\xff\xff\xff{}", (), 0, 0.0)
    with pytest.raises(NotAnEvent, match="Schema 2147483647 is not in the schema registry"):
        await read(url, unknown)


CHAT = {
    "type": "record",
    "name": "chat.Chat",
    "fields": [{"name": name, "type": "string"} for name in ("id", "prompt", "response")],
}


async def test_a_worker_judges_avro_and_waits_while_the_registry_is_away(
    url, client, kafka_settings, connection
):
    settings = await kafka_settings()
    topic, verdicts = settings.input.topics[0], settings.output.verdict_topic
    serializer = AvroSerializer(client, Schema(json.dumps(CHAT), "AVRO"))
    event = {"prompt": "How do I bake bread?", "response": "Mix flour."}
    values = [record(serializer, {"id": str(n)} | event, topic).value for n in range(5)]
    await produce(connection, topic, [OutgoingRecord(topic, b"k", value, ()) for value in values])
    (port,) = free_ports(1)
    away = await start_process(
        settings,
        INPUT__FRAMING="registry",
        INPUT__REGISTRY__URL=f"http://127.0.0.1:{port}",
        HEALTH__PORT=str(health := free_ports(1)[0]),
    )
    try:
        await until_ready_says(health, f"127.0.0.1:{port}")
    finally:
        away.terminate()
        await away.communicate()
    assert away.returncode == 0
    assert {committed for _, committed, _ in await offsets(settings, connection)} <= {None, 0}
    running = await start_process(settings, INPUT__FRAMING="registry", INPUT__REGISTRY__URL=url)
    try:
        found = [json.loads(one.value) for one in await read_topic(connection, [verdicts], 5)]
    finally:
        running.terminate()
        await running.communicate()
    assert sorted(one["event_id"] for one in found) == [str(n) for n in range(5)]
    assert all(one["response_refusal"]["label"] for one in found)


async def offsets(settings, connection):
    return await committed_offsets(connection, settings.input.topics[0], settings.input.group_id)


async def until_ready_says(port, words):
    async with asyncio.timeout(60), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}/readyz") as response:
                    if words in await response.text():
                        assert response.status == 503
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.2)
