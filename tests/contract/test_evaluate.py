"""`guardstream evaluate` by its command line, with the simulated engine."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.contract.test_commands import guardstream
from tests.unit.evaluation.rows import completion, labels, line
from worker.domain.questions import STANDARD_TASKS

SIMULATED = {"GUARDSTREAM_ENGINE__KIND": "simulated"}
QUICK = SIMULATED | {
    "GUARDSTREAM_ENGINE__SIMULATED__TIME_TO_FIRST_TOKEN_SECONDS": "0",
    "GUARDSTREAM_ENGINE__SIMULATED__TIME_PER_OUTPUT_TOKEN_SECONDS": "0",
}


@pytest.fixture
def events(tmp_path):
    path = tmp_path / "events.jsonl"
    lines = [line(str(n), prompt=f"request {n}", metadata={"half": n % 2 == 0}) for n in range(40)]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def evaluate(*arguments, **variables):
    return guardstream("evaluate", *map(str, arguments), **(QUICK | variables))


def test_a_run_its_completions_and_a_comparison_have_the_same_figures(events, tmp_path):
    kept, first, second, page = (tmp_path / name for name in ("c", "1.json", "2.json", "r.html"))
    done = evaluate(events, "--save-completions", kept, "--json", first, "--slice", "metadata.half")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "simulated on events.jsonl: 40 rows" in done.stdout
    assert "metadata.half" in done.stdout
    again = evaluate(
        *(events, "--from-completions", kept, "--compare", first, "--json", second),
        *("--html", page, "--slice", "metadata.half"),
        # no engine is needed
        GUARDSTREAM_ENGINE__KIND="vllm",
        GUARDSTREAM_ENGINE__MODEL="./nowhere",
    )
    assert again.returncode == 0, again.stderr
    assert "The two agree on every row." in again.stdout
    one, other = (json.loads(path.read_text()) for path in (first, second))
    for name in ("tasks", "slices", "rows", "flags", "statuses", "seed"):
        assert one[name] == other[name], name
    assert page.read_text().startswith("<!doctype html>")
    # its lines are what `parse` reads
    parsed = guardstream("parse", given=kept.read_text()).stdout.splitlines()
    predicted = {row["id"]: row["predicted"] for row in one["rows"]}
    assert len(parsed) == 40
    for found in map(json.loads, parsed):
        assert {task: found[task]["label"] for task in STANDARD_TASKS} == predicted[found["id"]]


def test_rows_that_cannot_be_used_are_listed_and_counted(events, tmp_path):
    path = tmp_path / "r.json"
    with events.open("ab") as file:
        file.write(b'{"id": "x", "prompt": "hi"}\n')
        file.write(line("y", given=labels("bad")) + b"\n")
        file.write(line("z", prompt="word " * 20_000) + b"\n")
    done = evaluate(events, "--json", path)
    assert done.returncode == 1
    assert "events.jsonl, line 41: The row has no labels." in done.stderr
    assert "events.jsonl, line 42: bad is no label of prompt_harmfulness" in done.stderr
    assert "Not judged, and counted as wrong: 1." in done.stderr
    assert "Left out, since they cannot be used: 2." in done.stderr
    found = json.loads(path.read_text())
    assert found["statuses"] == {"complete": 40, "inconclusive": 0, "unjudged": 1}
    assert len(found["left_out"]) == 2


def test_two_guards_are_compared(tmp_path):
    events, one, other = (tmp_path / name for name in ("e.jsonl", "a.jsonl", "b.jsonl"))
    names = "abcdefgh"
    events.write_bytes(b"\n".join(line(name) for name in names))
    for path, request in ((one, "unharmful"), (other, "harmful")):
        lines = [json.dumps({"id": name, "completion": completion(request)}) for name in names]
        path.write_text("\n".join(lines))
    done = evaluate(events, "--from-completions", one, "--compare", other)
    assert done.returncode == 0, done.stderr
    (row,) = [text for text in done.stdout.splitlines() if "0.00781" in text]
    assert row.split()[0] == "prompt_harmfulness"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--from-completions", "EVENTS", "--model", "m"], 2, "runs no engine"),
        (["--from-completions", "EVENTS"], 1, "line 1: neither a completion nor a verdict"),
        (["--compare", "EVENTS"], 1, "line 1: neither a completion nor a verdict"),
        (["--column", "prompt"], 2, "is not FIELD=NAME"),
        (["--column", "text=x"], 2, "is not FIELD=NAME"),
        (["--slice", "metadata.nothing"], 1, "No event has metadata.nothing"),
        (["--json", "nowhere/r.json"], 1, "cannot be written"),
        (["--resamples", "3"], 2, "--resamples"),
        (["--model", "./nowhere"], 1, "./nowhere is not available"),
    ],
)
def test_a_mistake_is_one_sentence_without_a_traceback(events, arguments, code, message):
    given = [str(events) if one == "EVENTS" else one for one in arguments]
    done = evaluate(events, *given, GUARDSTREAM_ENGINE__KIND="vllm")
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("package", ["jinja2", "numpy", "scipy"])
def test_without_its_extra_it_says_what_to_install(events, tmp_path, package):
    hide = "import sys; sys.modules[{!r}] = None; import worker.cli; worker.cli.main()"
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", hide.format(package), "evaluate", str(events)],
        env=os.environ | QUICK,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"guardstream: evaluate needs {package}: run pip install 'guardstream[evaluate]'.\n"
    )
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "has no rows"), (b'{"prompt": "hi"}\n', "No row of")],
)
def test_a_file_without_usable_rows_is_refused(tmp_path, content, message):
    path = tmp_path / "events.jsonl"
    path.write_bytes(content)
    done = evaluate(path)
    assert done.returncode == 1
    assert message in done.stderr


def test_an_interrupted_run_resumes(events, tmp_path):
    kept, result = tmp_path / "c.jsonl", tmp_path / "r.json"
    arguments = [sys.executable, "-m", "worker", "evaluate", str(events)]
    arguments += ["--save-completions", str(kept), "--json", str(result)]
    slow = QUICK | {
        "GUARDSTREAM_ENGINE__MAX_NUM_SEQS": "1",
        "GUARDSTREAM_ENGINE__SIMULATED__TIME_TO_FIRST_TOKEN_SECONDS": "0.2",
    }
    with subprocess.Popen(  # noqa: S603 - our own program
        arguments, env=os.environ | slow, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while not (kept.exists() and kept.read_bytes().count(b"\n") > 2):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "the same command resumes" in errors
    assert "Traceback" not in errors
    assert not result.exists()
    done = kept.read_bytes()
    assert done.count(b"\n") < 40
    again = evaluate(events, "--save-completions", kept, "--json", result)
    assert again.returncode == 0, again.stderr
    assert kept.read_bytes().startswith(done)
    assert kept.read_bytes().count(b"\n") == 40
    assert json.loads(result.read_text())["statuses"]["complete"] == 40


def test_results_are_written_even_if_the_pipe_is_closed(events, tmp_path):
    result = tmp_path / "r.json"
    arguments = [sys.executable, "-m", "worker", "evaluate", str(events), "--json", str(result)]
    with subprocess.Popen(  # noqa: S603 - our own program
        arguments, env=os.environ | QUICK, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert json.loads(result.read_text())["statuses"]["complete"] == 40
