"""Apicurio Registry on loopback: downloaded once, verified, and kept in the user's cache."""

import contextlib
import hashlib
import subprocess
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from worker.demo.kafka import jars
from worker.demo.kafka.broker import free_ports

VERSION = "3.3.3"
_SHA256 = "8bc6751c76d963734224b01d5e7f84ccb3cb61c87d3bd77c36c35f10a5cbed63"
_MAIN = "quarkus-run.jar"
_START_SECONDS = 180.0
_STOP_SECONDS = 20.0


@contextlib.contextmanager
def running(logs: Path) -> Iterator[str]:
    """The address of Confluent's API of a registry that keeps its schemas in memory."""
    folder = jars.cache_folder() / f"apicurio-registry-{VERSION}"
    jars.keep(
        folder,
        complete=(folder / _MAIN).is_file,
        build=_download,
        waiting="Waiting for another process that is downloading Apicurio Registry",
        progress=print,
    )
    port, management_port = free_ports(2)
    log = logs / "apicurio.log"
    command = [
        str(jars.find_java()),
        "-Xmx400m",
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-Dquarkus.http.host=127.0.0.1",
        f"-Dquarkus.http.port={port}",
        "-Dquarkus.management.host=127.0.0.1",
        f"-Dquarkus.management.port={management_port}",
        "-Dapicurio.storage.kind=sql",
        "-jar",
        _MAIN,
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 our own Java
            command,
            cwd=folder,
            env=jars.java_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
            _wait_until_started(process, url, log)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _download(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as repository:
        project = jars._maven(Path(repository)).project("io.apicurio", "apicurio-registry-app")
        artifact = project.at_version(VERSION).artifact(classifier="all", packaging="tar.gz")
        archive = Path(artifact.resolve())
        with archive.open("rb") as content:
            assert hashlib.file_digest(content, "sha256").hexdigest() == _SHA256
        with tarfile.open(archive) as files:
            files.extractall(folder, filter="data")
    # the archive may have a folder around its files
    (main,) = folder.rglob(_MAIN)
    for path in list(main.parent.iterdir()):
        if main.parent != folder:
            path.rename(folder / path.name)


def _wait_until_started(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text(errors="replace")[-2000:]
        with (
            contextlib.suppress(OSError, urllib.error.URLError),
            urllib.request.urlopen(f"{url}/schemas/types", timeout=5) as answer,  # noqa: S310 ours
        ):
            if answer.status == 200:
                return
        time.sleep(0.2)
    raise AssertionError(log.read_text(errors="replace")[-2000:])
