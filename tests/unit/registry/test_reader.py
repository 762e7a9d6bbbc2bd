"""The reader of a registry's values: what it asks, what it keeps, and when it waits."""

import asyncio
import base64
import logging

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from tests.unit.clocks import ManualClock, SteppedClock
from tests.unit.registry.fake_registry import AVRO, FakeRegistry, client, framed, record
from worker.adapters.registry.reader import RegistryReader
from worker.domain.errors import NotAnEvent

ID = b"\x02a"  # the record {"id": "a"} in Avro
GUID = "9b0c1f5e-2f38-4d0e-8a71-b0a4a5f0c3d2"
SERIALIZED = "/schemas/ids/1?format=serialized&deleted=true"
JSON = {"schemaType": "JSON", "schema": "{}"}


@pytest.fixture
async def registry():
    async with FakeRegistry() as running:
        yield running


def reader(asked, clock=None, cache_schemas=64):
    return RegistryReader(
        asked, cache_schemas=cache_schemas, clock=clock or ManualClock(), uniform=lambda: 1.0
    )


async def read(reading, *records):
    await reading.load(records)
    return [reading.read(one) for one in records]


async def test_each_schema_is_asked_for_once(registry):
    registry.has(1)
    registry.answers["/schemas/ids/2"] = (200, JSON)
    reading = reader(registry.client())
    records = [record(framed(1, ID)), record(framed(2, b'{"id": 5}')), record(framed(1, ID))]
    found = [await read(reading, *records), await read(reading, *records)]
    assert found == [[{"id": "a"}, {"id": 5}, {"id": "a"}]] * 2
    assert sorted(registry.asked) == ["/schemas/ids/1", "/schemas/ids/2"]


async def test_loads_at_the_same_time_ask_once(registry):
    registry.has(1)
    reading = reader(registry.client())
    assert await asyncio.gather(*(read(reading, record(framed(1, ID))) for _ in range(5)))
    assert registry.asked == ["/schemas/ids/1"]


async def test_a_load_that_is_cancelled_leaves_the_schema_to_the_next(registry):
    registry.answers["/schemas/ids/1"] = (503, None)
    clock = SteppedClock()
    reading = reader(registry.client(), clock)
    first, second = (asyncio.create_task(read(reading, record(framed(1, ID)))) for _ in "ab")
    await clock.sleepers.get()
    first.cancel()
    registry.has(1)
    assert await second == [{"id": "a"}]
    assert first.cancelled()
    assert reading.trouble() is None


async def test_the_least_recently_used_schema_is_asked_for_again(registry):
    for number in range(1, 5):
        registry.has(number)
    reading = reader(registry.client(), cache_schemas=2)
    for number in (1, 2, 1, 3, 1, 2):
        await read(reading, record(framed(number, ID)))
    assert [int(path[-1]) for path in registry.asked] == [1, 2, 3, 2]


async def test_a_load_of_more_schemas_than_are_kept_is_read(registry):
    for number in range(10):
        registry.has(number)
    records = [record(framed(number, ID)) for number in range(10)]
    reading = reader(registry.client(), cache_schemas=2)
    assert await read(reading, *records) == [{"id": "a"}] * 10


async def test_records_that_need_no_schema_ask_for_none(registry):
    reading = reader(registry.client())
    await reading.load([record(None), record(b"text"), record(b"", unreadable="Broken batch.")])
    assert registry.asked == []
    with pytest.raises(NotAnEvent, match="no frame"):
        reading.read(record(None))
    with pytest.raises(NotAnEvent, match="Broken batch"):
        reading.read(record(framed(1, ID), unreadable="Broken batch."))


async def test_a_missing_schema_is_no_event_and_asked_for_again_after_a_while(registry):
    clock = ManualClock()
    reading = reader(registry.client(), clock)
    with pytest.raises(NotAnEvent, match=f"Schema 17 is not in the schema registry {registry.url}"):
        await read(reading, record(framed(17, ID)))
    # a replica may not know it yet
    assert len(registry.asked) == 2
    registry.has(17)
    with pytest.raises(NotAnEvent):
        await read(reading, record(framed(17, ID)))
    assert len(registry.asked) == 2
    clock.time += 31
    assert await read(reading, record(framed(17, ID))) == [{"id": "a"}]


async def test_a_schema_that_a_replica_learns_late_is_read(registry):
    clock = SteppedClock()
    reading = asyncio.create_task(read(reader(registry.client(), clock), record(framed(1, ID))))
    seconds, woken = await clock.sleepers.get()
    registry.has(1)
    woken.set_result(None)
    assert (await reading, seconds) == ([{"id": "a"}], 1.0)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((500, None), "status 500"),
        ((401, None), "status 401; look at input.registry.username"),
        ((403, {"error_code": 40301}), "status 403"),
        ((429, None), "status 429"),
        ((302, None), "status 302"),
        ((400, None), "status 400"),
        ((200, b"<html>"), "not of a schema registry's API"),
        ((200, {"schemaType": "AVRO"}), "not of a schema registry's API"),
        ((200, ["schema"]), "not of a schema registry's API"),
        ((404, b"<html>"), "not of a schema registry's API"),
        ((404, {"error_code": 404, "message": "HTTP 404 Not Found"}), "not of a schema registry"),
    ],
)
async def test_records_wait_while_the_registry_does_not_answer(registry, caplog, answer, said):
    caplog.set_level(logging.INFO, logger="worker")
    registry.answers["/schemas/ids/1"] = answer
    registry.answers["/elsewhere"] = (200, {"schema": AVRO})
    clock = SteppedClock()
    reading = reader(registry.client(), clock)
    loading = asyncio.create_task(read(reading, record(framed(1, ID))))
    for _ in range(8):
        seconds, woken = await clock.sleepers.get()
        assert seconds <= 15.0
        assert said in reading.trouble()
        assert f"The schema registry {registry.url} is not available" in reading.trouble()
        woken.set_result(None)
    assert len(caplog.messages) == 1
    await clock.sleepers.put(await clock.sleepers.get())
    clock.time += 61
    await clock.pass_by(0)
    await clock.sleepers.put(await clock.sleepers.get())
    assert len(caplog.messages) == 2
    registry.has(1)
    await clock.pass_by(0)
    assert await loading == [{"id": "a"}]
    assert reading.trouble() is None
    assert caplog.messages[2:] == [f"The schema registry {registry.url} answers."]


async def test_records_wait_while_nothing_listens():
    async with FakeRegistry() as gone:
        url = gone.url
    clock = SteppedClock()
    reading = reader(client(url), clock)
    loading = asyncio.create_task(reading.load([record(framed(1, ID))]))
    await clock.sleepers.get()
    assert "cannot be reached (ClientConnectorError)" in reading.trouble()
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
    assert reading.trouble() is None


async def test_a_registry_without_guids_is_told_from_a_wrong_address(registry):
    registry.answers[f"/schemas/guids/{GUID}"] = (404, b"")
    registry.answers["/schemas/types"] = (200, ["AVRO"])
    header = ("__value_schema_id", b"\x01" + bytes.fromhex(GUID.replace("-", "")))
    with pytest.raises(NotAnEvent, match=f"Schema {GUID} is not in the schema registry"):
        await read(reader(registry.client()), record(ID, [header]))
    registry.answers[f"/schemas/guids/{GUID}"] = (200, {"schema": AVRO})
    assert await read(reader(registry.client()), record(ID, [header])) == [{"id": "a"}]


async def test_credentials_are_sent(registry, tmp_path, caplog):
    registry.has(1)
    await read(reader(registry.client(username="me", password="pässword")), record(framed(1, ID)))
    token = tmp_path / "token"
    token.write_text("abc\n")
    await read(reader(registry.client(token_file=token)), record(framed(1, ID)))
    basic = base64.b64encode("me:pässword".encode()).decode()
    sent = [headers["Authorization"] for headers in registry.headers]
    assert sent == [f"Basic {basic}", "Bearer abc"]
    assert "without TLS" in caplog.text


async def test_an_unreadable_password_file_is_waited_for(registry, tmp_path):
    clock = SteppedClock()
    reading = reader(registry.client(token_file=tmp_path / "gone"), clock)
    loading = asyncio.create_task(reading.load([record(framed(1, ID))]))
    await clock.sleepers.get()
    assert "The file of input.registry.token_file" in reading.trouble()
    loading.cancel()


def reference(name, subject, version=1):
    return {"name": name, "subject": subject, "version": version}


def under(subject):
    return f"/subjects/{subject}/versions/1?deleted=true"


async def test_references_of_avro_are_followed(registry):
    part = '{"type": "record", "name": "a.Part", "fields": [{"name": "to", "type": "a.Leaf"}]}'
    leaf = '{"type": "enum", "name": "a.Leaf", "symbols": ["x"]}'
    schema = '{"type": "record", "name": "E", "fields": [{"name": "part", "type": "a.Part"}]}'
    registry.has(1, schema, references=[reference("a.Part", "a/Part")])
    registry.answers[under("a%2FPart")] = (
        200,
        {"schema": part, "references": [reference("a.Leaf", "leaf")]},
    )
    registry.answers[under("leaf")] = (200, {"schema": leaf})
    found = await read(reader(registry.client()), record(framed(1, b"\x00")))
    assert found == [{"part": {"to": "x"}}]


async def test_references_in_a_circle_end(registry):
    registry.has(1, references=[reference("a", "a")])
    registry.answers[under("a")] = (200, {"schema": '"a"', "references": [reference("a", "a")]})
    with pytest.raises(NotAnEvent, match="Schema 1 is not a valid Avro schema"):
        await read(reader(registry.client()), record(framed(1, ID)))


def descriptor(name, *imports, of="string", message="M"):
    file = FileDescriptorProto(name=name, syntax="proto3", dependency=imports)
    kind = {"type": 9} if of == "string" else {"type": 11, "type_name": of}
    file.message_type.add(name=message).field.add(name="id", number=1, label=1, **kind)
    return base64.b64encode(file.SerializeToString()).decode()


async def test_protobuf_is_read_as_descriptors_where_the_registry_has_them(registry):
    registry.has(1, "text", schemaType="PROTOBUF", references=[reference("part.proto", "part")])
    root = descriptor("any-name", "part.proto", of=".Part")
    registry.answers[SERIALIZED] = (200, {"schema": root})
    part = descriptor("other-name", message="Part")
    registry.answers[under("part")] = (200, {"schema": part, "schemaType": "PROTOBUF"})
    body = b"\x00" + b"\x0a\x03\x0a\x01x"
    assert await read(reader(registry.client()), record(framed(1, body))) == [{"id": {"id": "x"}}]


async def test_protobuf_is_compiled_where_the_registry_has_text(registry):
    text = 'syntax = "proto3"; import "part.proto"; message M { Part id = 1; }'
    registry.has(1, text, schemaType="PROTOBUF", references=[reference("part.proto", "part")])
    part = descriptor("other-name", message="Part")
    registry.answers[under("part")] = (200, {"schema": part, "schemaType": "PROTOBUF"})
    body = b"\x00" + b"\x0a\x03\x0a\x01x"
    assert await read(reader(registry.client()), record(framed(1, body))) == [{"id": {"id": "x"}}]


async def test_text_is_compiled_where_the_registry_fails_to_convert_it(registry):
    registry.has(1, 'syntax = "proto3"; message M { string id = 1; }', schemaType="PROTOBUF")
    registry.answers[SERIALIZED] = (500, None)
    found = await read(reader(registry.client()), record(framed(1, b"\x00\x0a\x01x")))
    assert found == [{"id": "x"}]


async def test_text_that_does_not_compile_waits_for_a_registry_that_fails_to_convert_it(registry):
    registry.has(1, 'import "confluent/type/decimal.proto";', schemaType="PROTOBUF")
    registry.answers[SERIALIZED] = (500, None)
    clock = SteppedClock()
    reading = reader(registry.client(), clock)
    loading = asyncio.create_task(read(reading, record(framed(1, b"\x00\x0a\x01x"))))
    _, woken = await clock.sleepers.get()
    assert "status 500" in reading.trouble()
    registry.answers[SERIALIZED] = (200, {"schema": descriptor("any-name")})
    woken.set_result(None)
    assert await loading == [{"id": "x"}]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"schema": "{"}, "Schema 1 is not a valid Avro schema"),
        ({"schema": '{"type": "record"}'}, "Schema 1 is not a valid Avro schema"),
        ({"schema": '["null", {"type": {"a": 5}}]'}, "Schema 1 is not a valid Avro schema"),
        ({"schema": "[" * 100_000}, "Schema 1 is not a valid Avro schema"),
        ({"schema": '{"type":' * 5000 + '"int"' + "}" * 5000}, "Schema 1 is not a valid Avro"),
        ({"schema": "x", "schemaType": "XML"}, "Schema 1 is neither Avro nor Protobuf"),
        ({"schema": "x", "schemaType": "PROTOBUF"}, "Schema 1 is not valid Protobuf"),
        ({"schema": AVRO, "references": [5]}, "Schema 1 has a reference without name"),
        ({"schema": AVRO, "references": {"a": 5}}, "Schema 1 has a reference without name"),
        ({"schema": " " * (9 << 20)}, "Schema 1 is larger than 8 MiB"),
    ],
)
async def test_a_schema_that_cannot_be_used_is_no_event(registry, answer, said):
    registry.answers["/schemas/ids/1"] = (200, answer)
    with pytest.raises(NotAnEvent, match=said):
        await read(reader(registry.client()), record(framed(1, ID)))


async def test_more_references_than_a_schema_may_have_end(registry):
    def endless(request):
        number = int(request.path.split("/")[-1]) + 1
        return 200, {"schema": AVRO, "references": [reference("a", "a", number)]}

    registry.has(1, references=[reference("a", "a", 1)])
    for number in range(1, 300):
        registry.answers[f"/subjects/a/versions/{number}"] = endless
    with pytest.raises(NotAnEvent, match="refers to more than 200 others"):
        await read(reader(registry.client()), record(framed(1, ID)))
