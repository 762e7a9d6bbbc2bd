"""Protobuf files from their text: Protobuf's compiler, in a separate process.

Registries keep a Protobuf schema as text, and only Confluent's converts it to descriptors. The
compiler comes with the package grpcio-tools; it runs once for a schema.
"""

import asyncio
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from worker.adapters.registry.errors import RegistryUnavailable, SchemaUnusable

_COMPILE_SECONDS = 30.0


async def compile_text(
    texts: Mapping[str, str], compiled: Mapping[str, FileDescriptorProto], root: str
) -> list[FileDescriptorProto]:
    """The descriptors of a file and of those that it imports; the last is the file.

    Args:
        texts: the files that are text, by the names of their imports.
        compiled: the files that are descriptors already.
        root: the name of the schema's own file, one of `texts`.

    Raises:
        SchemaUnusable: the text is not valid, or a file's name is not.
        RegistryUnavailable: the compiler could not be run, and may run later.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="guardstream-protoc-") as folder:
            return await _compile(Path(folder), texts, compiled, root)
    except OSError as error:
        raise RegistryUnavailable(
            f"its Protobuf schemas cannot be compiled here ({type(error).__name__})"
        ) from error


async def _compile(
    folder: Path, texts: Mapping[str, str], compiled: Mapping[str, FileDescriptorProto], root: str
) -> list[FileDescriptorProto]:
    sources, known, result = folder / "sources", folder / "known", folder / "result"
    sources.mkdir()
    for name, text in texts.items():
        path = PurePosixPath(name)
        # names come from the registry: none may lead out of the folder
        if path.is_absolute() or ".." in path.parts or "\0" in name or not path.parts:
            raise SchemaUnusable("has a reference whose name is not a relative path")
        target = sources / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    paths = [f"--proto_path={path}" for path in (sources, *_common_files())]
    arguments = [*paths, "--include_imports", f"--descriptor_set_out={result}"]
    if compiled:
        known.write_bytes(FileDescriptorSet(file=compiled.values()).SerializeToString())
        arguments.append(f"--descriptor_set_in={known}")
    await _run([*arguments, root], sources)
    return list(FileDescriptorSet.FromString(result.read_bytes()).file)


def _common_files() -> list[Path]:
    """Where the files of google/type are, which registries know without a reference."""
    spec = find_spec("google.type")
    folders = spec.submodule_search_locations if spec else None
    return [Path(folder).parents[1] for folder in folders or ()]


async def _run(arguments: list[str], sources: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # a folder google or grpc_tools of the working folder is none of ours
        "-m",
        "grpc_tools.protoc",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_COMPILE_SECONDS):
            _, said = await process.communicate()
    except TimeoutError:
        raise RegistryUnavailable("its Protobuf schemas take too long to compile") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    code = process.returncode or 0
    if code < 0:  # for lack of memory, mostly
        raise RegistryUnavailable("the compiler of its Protobuf schemas was killed")
    if code:
        raise SchemaUnusable(f"is not valid Protobuf ({_complaint(said, sources)})")


def _complaint(said: bytes, sources: Path) -> str:
    """The first line that names a place in a file, which comes after the compiler's own log."""
    lines = said.decode(errors="replace").replace(f"{sources}/", "").splitlines()
    placed = (line for line in lines if ".proto:" in line)
    return next(placed, "the compiler gave no reason")[:200]
