import sys

import pytest

from benchmarks.processes import Meter, Process, ProcessFailed, Reading

_BURNING = "import time\nwhile time.process_time() < 0.1: pass\n"
# a child that has ended, one that lives, and a word when both are there
_PARENT = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {_BURNING!r}], check=True)
child = subprocess.Popen([sys.executable, "-c", {_BURNING!r} + "print(1, flush=True); input()"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print("burnt", flush=True)
import signal
signal.signal(signal.SIGTERM, lambda *_: (child.communicate(b"x"), sys.exit(int(sys.argv[1]))))
print("listens", flush=True)
while True: signal.pause()
"""


def _read(*readings):
    return Meter(0, [Reading(at, cpu, 0) for at, cpu in readings])


def test_cpu_between_two_moments_is_read_off_straight_lines():
    meter = _read((10.0, 1.0), (12.0, 2.0), (14.0, 6.0))
    assert meter.cpu_seconds(11.0, 13.0) == pytest.approx(2.5)
    assert meter.cpu_seconds(12.0, 14.0) == pytest.approx(4.0)


def test_beyond_the_readings_nothing_was_taken():
    meter = _read((10.0, 1.0), (12.0, 2.0))
    assert meter.cpu_seconds(5.0, 20.0) == pytest.approx(1.0)


def _start(tmp_path, status):
    process = Process("parent", [sys.executable, "-c", _PARENT, str(status)], tmp_path / "log")
    process.start()
    while process.running and "listens" not in process.log.read_text():
        pass
    return process


async def test_children_count_whether_they_live_or_not(tmp_path):
    process = _start(tmp_path, 0)
    process.meter.read()
    (reading,) = process.meter.readings
    await process.stop()
    assert not process.running
    assert reading.cpu_seconds >= 0.19
    # three interpreters of at least 5 MiB each
    assert reading.resident_bytes > 15 << 20


async def test_a_meter_of_a_process_that_is_gone_reads_nothing(tmp_path):
    process = _start(tmp_path, 0)
    await process.stop()
    process.meter.read()
    assert process.meter.readings == []


async def test_a_process_that_ends_badly_is_told_of(tmp_path):
    process = _start(tmp_path, 3)
    with pytest.raises(ProcessFailed, match="ended with 3 after SIGTERM"):
        await process.stop()


async def test_a_process_that_ends_by_itself_is_told_of(tmp_path):
    process = Process("quitter", [sys.executable, "-c", "raise SystemExit(4)"], tmp_path / "log")
    process.start()
    assert await process.wait(60) == 4
    with pytest.raises(ProcessFailed, match=r"quitter ended by itself with 4; see .*log"):
        process.require_running()


async def test_a_process_that_does_not_end_is_killed(tmp_path):
    process = _start(tmp_path, 0)
    with pytest.raises(ProcessFailed, match="was killed"):
        await process.wait(0.0)
    assert not process.running


async def test_a_context_that_fails_leaves_no_process(tmp_path):
    process = Process("parent", [sys.executable, "-c", _PARENT, "0"], tmp_path / "log")

    async def fail_within():
        async with process:
            assert process.running
            raise LookupError

    with pytest.raises(LookupError):
        await fail_within()
    assert not process.running


async def test_settings_of_whoever_measures_do_not_reach_a_process(tmp_path, monkeypatch):
    monkeypatch.setenv("GUARDSTREAM_INPUT__GROUP_ID", "mine")
    say = "import os; print([k for k in os.environ if k.startswith('GUARDSTREAM_')])"
    own = {"GUARDSTREAM_HEALTH__PORT": "0"}
    process = Process("env", [sys.executable, "-c", say], tmp_path / "log", own)
    process.start()
    await process.wait(60)
    assert process.log.read_text() == "['GUARDSTREAM_HEALTH__PORT']\n"
