"""A broker starts with the archive of classes where one was made, and without it otherwise."""

from pathlib import Path

import pytest

from tests import class_archive, lanes
from worker.demo.kafka.distribution import BrokerError, Distribution


def test_a_broker_starts_with_the_archive_where_there_is_one(tmp_path):
    found = Distribution(Path("java"), tmp_path / "jars", tmp_path / "storage")
    assert not any("Shared" in one for one in found.command("kafka.Kafka"))
    found.archive.write_bytes(b"")
    assert f"-XX:SharedArchiveFile={tmp_path}/classes.jsa" in found.command("kafka.Kafka")


def test_an_archive_is_made_once(tmp_path, monkeypatch):
    found = Distribution(Path("java"), tmp_path / "jars", tmp_path / "storage")
    found.archive.write_bytes(b"made before")
    monkeypatch.setattr(class_archive, "obtain", lambda _: found)
    assert class_archive.archive_classes().read_bytes() == b"made before"
    assert list(tmp_path.iterdir()) == [found.archive]


@pytest.mark.parametrize("error", [BrokerError("no network"), PermissionError("read-only")])
def test_lanes_run_without_an_archive_too(monkeypatch, error):
    def fail():
        raise error

    monkeypatch.delenv("GUARDSTREAM_TEST_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.setattr(lanes, "archive_classes", fail)
    chosen = lanes.chosen(["integration"])
    lanes.prepare(chosen)
    assert [lane.name for lane in chosen] == ["integration"]


def test_lanes_without_a_broker_make_no_archive(monkeypatch):
    made = []
    monkeypatch.delenv("GUARDSTREAM_TEST_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.setattr(lanes, "archive_classes", lambda: made.append(1))
    lanes.prepare(lanes.chosen(["unit", "training"]))
    assert made == []
    lanes.prepare(lanes.chosen(["unit", "chaos"]))
    assert made == [1]
    monkeypatch.setenv("GUARDSTREAM_TEST_BOOTSTRAP_SERVERS", "localhost:9092")
    lanes.prepare(lanes.chosen(["chaos"]))
    assert made == [1]
