"""A policy's file is read again while the worker runs, and never replaced by a broken one."""

import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.clocks import ManualClock
from tests.unit.policy.policies import text
from worker.domain.errors import UnusableFile
from worker.flow.deciding import Deciding
from worker.runtime.policies import WatchedPolicy, build_deciding
from worker.runtime.settings import load_settings
from worker.telemetry import Telemetry

BROKEN = b"name: broken"


class Watching:
    """A policy's file, its reader, and its metrics."""

    def __init__(self, path, held=None):
        self.path = path
        if held is not None:
            path.write_bytes(held)
        self.clock = ManualClock()
        self.telemetry = Telemetry(self.clock)
        self.watched = WatchedPolicy(path, "acting", self.telemetry.decisions, self.clock)

    def replace(self, held):
        """As `mv` does."""
        new = self.path.with_name("new")
        new.write_bytes(held)
        new.replace(self.path)

    def version(self, after=1.0):
        """Of the policy that decides after so many seconds."""
        self.clock.time += after
        return self.watched.current().reference.version

    def metric(self, metric, **labels):
        return self.telemetry.registry.get_sample_value(f"guardstream_policy_{metric}", labels)

    @property
    def is_broken(self):
        return self.metric("broken", policy="acting") == 1


def version(number, **more):
    return text(version=str(number), **more)


@pytest.fixture
def watching(tmp_path):
    return Watching(tmp_path / "policy.yaml", version(1))


def test_a_replaced_file_decides_a_second_later(watching):
    watching.replace(version(2))
    assert watching.version(after=0.9) == "1"
    assert watching.version(after=0.1) == "2"
    held = watching.watched.current().reference
    labels = {"policy": "acting", "name": "test", "version": "2", "sha256": held.sha256}
    assert watching.metric("info", **labels) == 1
    assert not watching.is_broken


def test_only_the_policy_in_use_is_named(watching):
    watching.replace(version(2))
    watching.version()
    found = {
        sample.labels["version"]
        for family in watching.telemetry.registry.collect()
        for sample in family.samples
        if sample.name == "guardstream_policy_info"
    }
    assert found == {"2"}


def test_a_file_of_the_same_size_and_time_is_another_all_the_same(watching):
    before = watching.path.stat()
    watching.replace(version(2))
    os.utime(watching.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert watching.path.stat().st_size == before.st_size
    assert watching.version() == "2"


def test_the_symbolic_links_of_a_config_map_are_followed(tmp_path):
    for number in (1, 2):
        (tmp_path / f"..{number}").mkdir()
        (tmp_path / f"..{number}" / "policy.yaml").write_bytes(version(number))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "policy.yaml").symlink_to("..data/policy.yaml")
    watching = Watching(tmp_path / "policy.yaml")
    assert watching.version() == "1"
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").replace(tmp_path / "..data")
    assert watching.version() == "2"


def test_no_half_of_a_policy_that_is_written_in_place_decides(watching):
    rules = [{"name": f"r{n}", "when": "true", "action": "log"} for n in range(2)]
    whole = version(2, rules=[one | {"reason": {"code": "c", "text": "t"}} for one in rules])
    half = whole[: whole.index(b"- name: r1")]
    watching.path.write_bytes(half)
    assert watching.version() == "1"
    watching.path.write_bytes(whole)
    assert watching.version() == "1"
    assert watching.version() == "2"
    assert len(watching.watched.current().file.rules) == 2
    assert not watching.is_broken


@pytest.mark.parametrize(
    "held",
    [b"", BROKEN, b"\xff", b"{", version(2, default="nothing"), version(2)[:80]],
    ids=["empty", "no policy", "not UTF-8", "not YAML", "no such action", "half"],
)
def test_a_broken_file_leaves_the_policy_and_is_reported_once(watching, caplog, held):
    watching.replace(held)
    for _ in range(5):
        assert watching.version() == "1"
    assert watching.is_broken
    (line,) = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert line.startswith(str(watching.path))
    assert line.endswith("The policy test, version 1, stays in use.")
    watching.replace(version(3))
    assert watching.version() == "3"
    assert not watching.is_broken


def test_a_file_that_is_gone_leaves_the_policy(watching, caplog):
    watching.path.unlink()
    assert watching.version() == "1"
    # it can be between two steps of a replacement
    assert not watching.is_broken
    for _ in range(3):
        assert watching.version() == "1"
    assert watching.is_broken
    (line,) = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert f"{watching.path} cannot be read: No such file or directory." in line
    watching.path.write_bytes(version(1))
    assert [watching.version(), watching.version()] == ["1", "1"]
    assert not watching.is_broken


def test_an_idle_worker_reports_a_broken_file_too(watching):
    watching.replace(BROKEN)
    watching.clock.time += 1.0
    assert watching.is_broken


def test_between_two_looks_no_file_is_touched(watching, monkeypatch):
    opened, read = [], Path.open
    monkeypatch.setattr(Path, "open", lambda path, how: opened.append(path) or read(path, how))
    for _ in range(1000):
        watching.version(after=0.00099)
    assert not opened
    watching.version(after=0.02)
    assert opened == [watching.path]


@pytest.mark.parametrize("held", [None, BROKEN])
def test_a_worker_does_not_start_with_a_broken_policy(tmp_path, held):
    path = tmp_path / "policy.yaml"
    if held is not None:
        path.write_bytes(held)
    for name in ("file", "shadow_file"):
        settings = load_settings(policy={name: str(path)}, engine={"kind": "simulated"})
        clock = ManualClock()
        with pytest.raises(UnusableFile, match=r"policy\.yaml"):
            build_deciding(settings, Telemetry(clock), clock)


def test_the_policies_of_the_settings_decide(tmp_path):
    acting, shadow = tmp_path / "acting.yaml", tmp_path / "shadow.yaml"
    acting.write_bytes(version(1, dead_letter="block"))
    shadow.write_bytes(version(2, dead_letter="allow"))
    clock = ManualClock()
    telemetry = Telemetry(clock)
    settings = load_settings(policy={"file": str(acting), "shadow_file": str(shadow)})
    assert build_deciding(settings, telemetry, clock).without_verdict() == "block"
    assert Deciding(telemetry, clock).without_verdict() is None
    for policy, number in (("acting", "1"), ("shadow", "2")):
        for action in ("allow", "log", "review", "block"):
            labels = {"policy": policy, "action": action}
            counted = telemetry.registry.get_sample_value("guardstream_decisions_total", labels)
            assert counted == 0
        found = [
            sample.labels["version"]
            for family in telemetry.registry.collect()
            for sample in family.samples
            if sample.name == "guardstream_policy_info" and sample.labels["policy"] == policy
        ]
        assert found == [number]


CHANGES = st.one_of(
    st.tuples(st.sampled_from(["replace", "write"]), st.sampled_from([*range(4), None])),
    st.tuples(st.just("remove"), st.none()),
    st.tuples(st.just("wait"), st.none()),
)


@given(st.lists(CHANGES, max_size=12))
def test_whatever_happens_to_the_file_the_last_good_one_decides(tmp_path_factory, changes):
    watching = Watching(tmp_path_factory.mktemp("policy") / "policy.yaml", version(0))
    good, held = {"0"}, 0
    for how, number in changes:
        if how == "wait":
            watching.version()
            continue
        content = BROKEN if number is None else version(number)
        if how == "remove":
            watching.path.unlink(missing_ok=True)
            held = None
            continue
        held = number
        good.add(str(number))
        watching.replace(content) if how == "replace" else watching.path.write_bytes(content)
        assert watching.version(after=0.5) in good
    before = [watching.version(), watching.version()][-1]
    assert watching.version() == before
    assert before in good
    assert watching.is_broken is (held is None)
    if held is not None:
        assert before == str(held)
