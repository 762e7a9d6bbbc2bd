"""Protobuf messages as JSON data.

As Protobuf's own JSON mapping, with the fields' names of the schema, and with what JSON data holds
as it is: 64-bit integers are numbers. Fields without a value are absent; proto3 writes none for
empty text, 0 and false. Numbers that are not finite are None.
"""

import base64
import math
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from worker.adapters.registry.budget import Budget, check_depth
from worker.domain.errors import NotAnEvent

_PACKAGE = "google.protobuf."
_WRITTEN_AS_TEXT = frozenset({"Timestamp", "Duration", "FieldMask"})
_WRAPPERS = frozenset(
    f"{kind}Value"
    for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)

# integers below are exact as floats
_EXACT = 2**53

_Convert = Callable[[Any, Budget, int], Any]


class MessageReader:
    """Reads messages of the types of one pool."""

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool
        self._fields: dict[str, dict[int, tuple[str, _Convert]]] = {}

    def read(self, message: Message) -> Any:
        """The message as JSON data.

        Raises:
            NotAnEvent: it is nested too deeply, holds too many values, or text that is not UTF-8.
        """
        try:
            return self._message(message, Budget(), 0)
        except UnicodeDecodeError:
            raise NotAnEvent("A string of the Protobuf value is not UTF-8.") from None

    def _message(self, message: Message, budget: Budget, depth: int) -> Any:
        check_depth(depth)
        name = message.DESCRIPTOR.full_name
        if name.startswith(_PACKAGE):
            return self._well_known(name.removeprefix(_PACKAGE), message, budget, depth)
        return self._object(message, budget, depth)

    def _object(self, message: Message, budget: Budget, depth: int) -> dict[str, Any]:
        plan = self._plan(message.DESCRIPTOR)
        present = message.ListFields()
        budget.spend(len(present))
        found = {}
        for field, value in present:
            if not field.is_extension:
                name, convert = plan[field.number]
                found[name] = convert(value, budget, depth + 1)
        return found

    def _well_known(self, name: str, message: Any, budget: Budget, depth: int) -> Any:
        if name in _WRITTEN_AS_TEXT:
            return _as_text(message)
        if name in _WRAPPERS:
            return _convert_scalar(message.value, budget, depth)
        convert: _Convert
        if name == "Struct":
            convert, message = _convert_map(self._message), message.fields
        elif name == "ListValue":
            convert, message = _convert_list(self._message), message.values
        else:
            convert = {"Value": self._value, "Any": self._any}.get(name, self._object)
        return convert(message, budget, depth)

    def _value(self, message: Any, budget: Budget, depth: int) -> Any:
        kind = message.WhichOneof("kind")
        if kind in {None, "null_value"}:
            return None
        value = getattr(message, kind)
        if isinstance(value, Message):
            return self._message(value, budget, depth + 1)
        if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
            return int(value)  # its numbers are all floats; 5 is written as 5
        return _convert_scalar(value, budget, depth)

    def _any(self, message: Any, budget: Budget, depth: int) -> dict[str, Any]:
        """The message within, if its type is known; its bytes otherwise."""
        try:
            descriptor = self._pool.FindMessageTypeByName(message.type_url.rpartition("/")[2])
            inner = GetMessageClass(descriptor).FromString(message.value)
        except (KeyError, DecodeError):
            content: Any = _convert_scalar(message.value, budget, depth)
        else:
            content = self._message(inner, budget, depth + 1)
        if isinstance(content, dict):
            return {"@type": message.type_url, **content}
        return {"@type": message.type_url, "value": content}

    def _plan(self, descriptor: Descriptor) -> dict[int, tuple[str, _Convert]]:
        if (plan := self._fields.get(descriptor.full_name)) is None:
            plan = {field.number: (field.name, self._field(field)) for field in descriptor.fields}
            self._fields[descriptor.full_name] = plan
        return plan

    def _field(self, field: FieldDescriptor) -> _Convert:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return _convert_map(self._single(field.message_type.fields_by_name["value"]))
        single = self._single(field)
        return _convert_list(single) if field.is_repeated else single

    def _single(self, field: FieldDescriptor) -> _Convert:
        if field.message_type is not None:
            return self._message
        if field.enum_type is not None:
            names = {value.number: value.name for value in field.enum_type.values}
            return lambda value, _budget, _depth: names.get(value, value)
        return _convert_scalar


def _as_text(message: Any) -> str | None:
    try:
        return str(message.ToJsonString())
    except ValueError:  # out of range
        return None


def _convert_scalar(value: Any, _budget: Budget, _depth: int) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _convert_list(single: _Convert) -> _Convert:
    def convert(values: Any, budget: Budget, depth: int) -> list[Any]:
        budget.spend(len(values))
        return [single(value, budget, depth + 1) for value in values]

    return convert


def _convert_map(single: _Convert) -> _Convert:
    def convert(values: Any, budget: Budget, depth: int) -> dict[str, Any]:
        budget.spend(len(values))
        return {_map_key(key): single(value, budget, depth + 1) for key, value in values.items()}

    return convert


def _map_key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return str(key)
