"""`compare` as programs use it."""

import json
import os
import subprocess
import sys

import pytest

TASK = "prompt_harmfulness"


def verdict(name, label):
    none = {"label": None, "score": None, "source": None}
    return {
        "event_id": name,
        "source": {"topic": "t", "partition": 0, "offset": 0, "exchange": None},
        "status": "complete",
        "guard": {"name": "g", "model": "m"},
        "criteria": {},
        TASK: {"label": label, "score": None, "source": "answer"},
        "response_refusal": none,
        "response_harmfulness": none,
    }


@pytest.fixture
def files(tmp_path):
    """Two files of 100 verdicts, of which one differs."""
    labels = ["harmful", "unharmful"] * 50
    for name, changed in (("a.jsonl", {}), ("b.jsonl", {7: "harmful"})):
        lines = [verdict(f"e{n}", changed.get(n, label)) for n, label in enumerate(labels)]
        (tmp_path / name).write_text("".join(json.dumps(one) + "\n" for one in lines))
    return tmp_path / "a.jsonl", tmp_path / "b.jsonl"


def compare(*arguments):
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "worker", "compare", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ,
    )


def test_tables_show_agreement_and_the_events_that_differ(files):
    done = compare(*files)
    assert done.returncode == 0, done.stderr
    assert "100 events in both" in done.stdout
    assert "0.990 [" in done.stdout
    (example,) = [line for line in done.stdout.splitlines() if line.startswith("e7")]
    assert example.split() == ["e7", TASK, "unharmful", "harmful"]


def test_json_and_the_limit_for_programs(files):
    done = compare(*files, "--json", "--fail-under", "0.99")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["tasks"].keys() == {TASK}
    assert found["tasks"][TASK]["pairs"]["unharmful"]["harmful"] == 1
    assert found["differences"][0]["ours"] == {"label": "unharmful", "score": None}
    done = compare(*files, "--fail-under", "0.995")
    assert (done.returncode, "lower than 0.995" in done.stderr) == (1, True)


def test_files_without_a_common_event_are_refused(files, tmp_path):
    other = tmp_path / "c.jsonl"
    other.write_text(json.dumps(verdict("x", "harmful")) + "\n")
    done = compare(files[0], other)
    assert (done.returncode, "have no event in common" in done.stderr) == (1, True)
