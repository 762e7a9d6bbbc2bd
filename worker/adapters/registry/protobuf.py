"""Protobuf: the files of a schema become functions that read its messages as JSON data."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.message import DecodeError, Message

from worker.adapters.registry.errors import SchemaUnusable
from worker.adapters.registry.frames import Frame, read_message_indexes
from worker.adapters.registry.protobuf_values import MessageReader
from worker.domain.errors import NotAnEvent

# files that every registry knows without a reference, from the packages protobuf and
# googleapis-common-protos
_BUILT_IN = ("google/protobuf/", "google/type/")
# its options are annotations of a schema, which do not change how values are read
_ANNOTATIONS = frozenset({"confluent/meta.proto"})


class ProtobufSchema:
    """Reads messages of one file.

    Args:
        files: the file, and those that it imports, each by the name of its import; the last is
            the schema.

    Raises:
        SchemaUnusable: the files do not fit together.
    """

    def __init__(self, files: Sequence[FileDescriptorProto]) -> None:
        self._pool = descriptor_pool.DescriptorPool()
        self._file = files[-1]
        self._messages = MessageReader(self._pool)
        self._classes: dict[tuple[int, ...], type[Message]] = {}
        self._add_all({file.name: file for file in files})

    def decode(self, frame: Frame) -> Any:
        """The message as JSON data.

        Raises:
            NotAnEvent: the bytes are no message of this schema.
        """
        path, body = read_message_indexes(frame)
        if (message_class := self._classes.get(path)) is None:
            message_class = self._classes[path] = self._class_at(path)
        try:
            message = message_class.FromString(body)
        except DecodeError:
            raise NotAnEvent(
                f"The value is not a Protobuf message {message_class.DESCRIPTOR.full_name}."
            ) from None
        return self._messages.read(message)

    def _class_at(self, path: tuple[int, ...]) -> type[Message]:
        siblings: Sequence[DescriptorProto] = self._file.message_type
        names = [self._file.package] if self._file.package else []
        for index in path:
            if not 0 <= index < len(siblings):
                raise NotAnEvent("The frame names a message that the Protobuf schema has not.")
            names.append(siblings[index].name)
            siblings = siblings[index].nested_type
        descriptor = self._pool.FindMessageTypeByName(".".join(names))
        found: type[Message] = message_factory.GetMessageClass(descriptor)
        return found

    def _add_all(self, files: dict[str, FileDescriptorProto]) -> None:
        added: set[str] = set()

        def add(name: str, importing: frozenset[str]) -> None:
            if name in added:
                return
            if name in importing:
                raise SchemaUnusable("has a file that imports itself")
            file = files.get(name) or _built_in(name)
            if any(dependency in _ANNOTATIONS for dependency in file.dependency):
                file = _without_annotations(file)
            for dependency in file.dependency:
                add(dependency, importing | {name})
            self._pool.AddSerializedFile(file.SerializeToString())
            added.add(name)

        try:
            add(self._file.name, frozenset())
        except TypeError as error:  # what the pool raises
            raise SchemaUnusable("has Protobuf files that do not fit together") from error


def _built_in(name: str) -> FileDescriptorProto:
    parts = name.removesuffix(".proto").split("/")
    if not name.startswith(_BUILT_IN) or not all(part.isidentifier() for part in parts):
        raise SchemaUnusable(f"imports {name[:200]}, which is not among its references")
    try:
        module = import_module(".".join(parts) + "_pb2")
    except ImportError:
        raise SchemaUnusable(f"imports {name[:200]}, which is not known here") from None
    return FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)


def _without_annotations(file: FileDescriptorProto) -> FileDescriptorProto:
    trimmed = FileDescriptorProto()
    trimmed.CopyFrom(file)
    del trimmed.dependency[:], trimmed.public_dependency[:], trimmed.weak_dependency[:]
    trimmed.dependency.extend(name for name in file.dependency if name not in _ANNOTATIONS)
    return trimmed
