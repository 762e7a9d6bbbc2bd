"""`python -m tests.lanes` runs each test once, and reports what failed and what was skipped."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import lanes
from tests.lanes import LANES, Lane, chosen, end, run, skips

TESTS = Path(__file__).parents[1]


def covers(arguments, path):
    """Whether pytest with these arguments collects the file."""
    given = str(path.relative_to(lanes.ROOT))
    ignored = [one.removeprefix("--ignore=") for one in arguments if one.startswith("--ignore=")]
    places = [one for one in arguments if not one.startswith("--")]
    return given not in ignored and any(
        given == place or given.startswith(f"{place}/") for place in places
    )


def test_every_file_of_tests_is_in_exactly_one_lane():
    files = sorted(TESTS.rglob("test_*.py"))
    assert len(files) > 100
    found = {
        str(path): [name for name, arguments in LANES.items() if covers(arguments, path)]
        for path in files
    }
    assert {path: names for path, names in found.items() if len(names) != 1} == {}


def test_all_paths_of_lanes_are_there():
    for arguments in LANES.values():
        for one in arguments:
            assert (lanes.ROOT / one.removeprefix("--ignore=")).exists(), one


def test_a_name_means_its_lane_and_the_parts_of_it():
    assert [lane.name for lane in chosen(["unit"])] == ["unit", "unit-long"]
    assert [lane.name for lane in chosen([])] == list(LANES)
    with pytest.raises(SystemExit, match="there is no lane units; there are"):
        chosen(["units"])


def test_compiled_modules_are_kept_also_where_python_is_told_not_to(tmp_path):
    command = [sys.executable, "-c", "import sys; print(sys.dont_write_bytecode)"]
    for given in ({}, {"PYTHONDONTWRITEBYTECODE": "1"}):
        used = lanes.environment(given)
        told = subprocess.run(command, env=used, capture_output=True, check=True)  # noqa: S603
        assert told.stdout == b"False\n"
        # next to the sources where nothing is said against it
        assert used.get("PYTHONPYCACHEPREFIX") == (str(lanes.COMPILED) if given else None)
    theirs = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    assert lanes.environment(theirs) == {"PYTHONPYCACHEPREFIX": str(tmp_path)}


def lane(folder, name, body):
    path = folder / f"test_{name}.py"
    path.write_text(f"import pytest, time\n{body}")
    return Lane(name, [f"--rootdir={folder}", "-ra", str(path)], folder)


def test_a_failure_is_shown_and_skips_are_counted(tmp_path, capsys):
    both = [
        lane(tmp_path, "good", "def test_a():\n    pytest.skip('no helm')\n\ndef test_b(): pass\n"),
        lane(tmp_path, "bad", "def test_c():\n    assert 'seen' == 'wanted'\n"),
    ]
    assert run(both) == 1
    shown = capsys.readouterr().out
    assert "good           passed: 1 passed, 1 skipped" in shown
    assert "bad            failed: 1 failed" in shown
    assert "assert 'seen' == 'wanted'" in shown
    assert "skipped 1: no helm" in shown
    assert skips(both) == {"no helm": 1}
    assert not any(one.failed for one in both[:1])


ONCE = """
from pathlib import Path

def test_e():
    seen = Path(__file__).with_suffix(".seen")
    first = not seen.exists()
    seen.touch()
    assert not first

def test_f(): pass
"""


@pytest.mark.parametrize("name", ["integration", "chaos"])
def test_what_fails_only_beside_others_is_listed_but_not_where_faults_are_injected(
    tmp_path, capsys, name
):
    one = lane(tmp_path, name, ONCE)
    assert run([one]) == (name == "chaos")
    shown = capsys.readouterr().out
    assert "failed: 1 failed, 1 passed" in shown
    assert ("integration-again passed: 1 passed" in shown) == (name == "integration")
    assert ("::test_e: failed beside other lanes, passed alone" in shown) == (name != "chaos")


def test_what_fails_alone_too_or_has_many_failures_fails_the_run(tmp_path, capsys):
    bad = lane(tmp_path, "bad", "def test_g():\n    assert False\n")
    many = "@pytest.mark.parametrize('n', range(6))\ndef test_h(n):\n    assert False\n"
    assert run([bad, lane(tmp_path, "many", many)]) == 1
    shown = capsys.readouterr().out
    assert "bad-again      failed: 1 failed" in shown
    assert "many-again" not in shown
    assert "tests: bad, many failed" in shown


def test_an_interrupt_ends_all(tmp_path):
    slow = lane(tmp_path, "slow", "def test_d():\n    print('it runs')\n    time.sleep(600)\n")
    slow.arguments = ["-s", *slow.arguments]
    slow.start()
    until = time.monotonic() + 120
    while "it runs" not in slow.text() and time.monotonic() < until:
        time.sleep(0.05)
    end([slow])
    # pytest's own status of an interrupt: its fixtures have ended what they started
    assert slow.code == 2
