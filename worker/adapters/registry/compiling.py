"""Schemas of the registry, with what they refer to, become readers of values."""

import base64
import binascii
from typing import Any, Protocol

import fastavro
import orjson
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import DecodeError

from worker.adapters.registry.avro import AvroSchema
from worker.adapters.registry.client import Reference, RegistryClient, SchemaText
from worker.adapters.registry.errors import RegistryUnavailable, SchemaUnusable
from worker.adapters.registry.frames import Frame, SchemaKey
from worker.adapters.registry.protobuf import ProtobufSchema
from worker.adapters.registry.protoc import compile_text
from worker.decoding.json_values import parse_json

_MAX_REFERENCES = 200
_ROOT_FILE = "guardstream_root.proto"


class Schema(Protocol):
    """Reads the values of one schema."""

    def decode(self, frame: Frame) -> Any:
        """The value as JSON data.

        Raises:
            NotAnEvent: it is not of this schema.
        """
        ...


class JsonSchema:
    """Reads JSON; whether it is valid by the schema is the producer's business."""

    def decode(self, frame: Frame) -> Any:
        """The JSON.

        Raises:
            NotAnEvent: it is not JSON.
        """
        return parse_json(frame.body)


async def fetch_schema(client: RegistryClient, key: SchemaKey) -> Schema:
    """The reader of a schema's values.

    Raises:
        SchemaUnusable: the schema is missing, of another kind, or not valid.
        RegistryUnavailable: the registry gives no usable answer.
    """
    schema = await client.schema(key)
    if schema.kind == "JSON":
        return JsonSchema()
    if schema.kind == "AVRO":
        return _compile_avro(schema, await _fetch_references(client, schema))
    if schema.kind == "PROTOBUF":
        return await _compile_protobuf(client, schema)
    raise SchemaUnusable("is neither Avro nor Protobuf nor JSON Schema")


async def _fetch_references(client: RegistryClient, schema: SchemaText) -> dict[str, SchemaText]:
    """Everything that a schema refers to, by name; what is needed first comes first."""
    found: dict[str, SchemaText] = {}
    seen: set[Reference] = set()

    async def follow(referring: SchemaText) -> None:
        for reference in referring.references:
            if reference in seen:
                continue
            seen.add(reference)
            if len(seen) > _MAX_REFERENCES:
                raise SchemaUnusable(f"refers to more than {_MAX_REFERENCES} others")
            referred = await client.referenced(reference)
            await follow(referred)
            found[reference.name] = referred

    await follow(schema)
    return found


def _compile_avro(schema: SchemaText, references: dict[str, SchemaText]) -> AvroSchema:
    named: dict[str, Any] = {}
    try:
        for referred in references.values():
            fastavro.parse_schema(_read_avro(referred.text), named_schemas=named)
        parsed = fastavro.parse_schema(_read_avro(schema.text), named_schemas=named)
        return AvroSchema(parsed, named)
    except Exception as error:  # fastavro raises many kinds, for schemas that are anything
        raise SchemaUnusable(f"is not a valid Avro schema ({type(error).__name__})") from error


def _read_avro(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text.strip()  # the name of a primitive type, without quotes


async def _compile_protobuf(client: RegistryClient, schema: SchemaText) -> ProtobufSchema:
    texts: dict[str, str] = {}
    files: dict[str, FileDescriptorProto] = {}
    failure: RegistryUnavailable | None = None
    parts = {**await _fetch_references(client, schema), _ROOT_FILE: schema}
    for name, part in parts.items():
        file = _read_descriptor(part.text)
        if file is None:
            try:
                file = _read_descriptor(await client.serialized(part))
            except RegistryUnavailable as error:
                failure = error  # Apicurio's fails on some schemas (status 500) that it has as text
        if file is None:
            texts[name] = part.text
        else:
            file.name = name
            files[name] = file
    if not texts:
        return ProtobufSchema([*files.values()])
    if _ROOT_FILE not in texts:
        raise SchemaUnusable("refers to Protobuf files as text, and is none itself")
    try:
        return ProtobufSchema(await compile_text(texts, files, _ROOT_FILE))
    except SchemaUnusable:
        if failure is not None:  # perhaps the descriptors are usable, once the registry gives them
            raise failure from None
        raise


def _read_descriptor(text: str) -> FileDescriptorProto | None:
    """A file in the form of Confluent's serialised format; None if it is something else."""
    try:
        return FileDescriptorProto.FromString(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, DecodeError):
        return None
