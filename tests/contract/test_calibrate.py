"""`guardstream calibrate` by its command line, with the simulated engine."""

import json

import pytest

from tests.contract.test_commands import guardstream
from tests.contract.test_evaluate import QUICK
from tests.unit.evaluation.rows import labels, line


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    return written(tmp_path_factory.mktemp("calibrate") / "events.jsonl", 230)


def written(path, count, *, positive=True):
    harmful = "harmful" if positive else "unharmful"
    lines = [
        line(
            str(n),
            prompt=f"request {n}",
            given=labels(
                harmful if n % 2 else "unharmful",
                "refusal" if n % 3 else "compliance",
                "harmful" if n % 5 else "unharmful",
            ),
        )
        for n in range(count)
    ]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def calibrate(*arguments, **variables):
    return guardstream(
        "calibrate", *map(str, arguments), "--resamples", "100", **(QUICK | variables)
    )


@pytest.fixture(scope="module")
def run(events):
    """A calibration, its report and its completions."""
    places = [events.with_name(name) for name in ("c.json", "c.html", "kept.jsonl")]
    names = ("--output", "--html", "--save-completions")
    options = [one for pair in zip(names, places, strict=True) for one in pair]
    return calibrate(events, *options), places


def test_scores_that_say_nothing_are_written_and_release_no_mode(run):
    done, (output, page, _) = run
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"guardstream: Wrote {output}.\n"
    assert "Released for judging.reasoning: always.\n" in done.stdout
    assert "do not separate" in done.stdout
    found = json.loads(output.read_text())
    assert found["schema"] == "guardstream.calibration/1"
    assert found["data"]["events"] == 230
    assert {mode: one["released"] for mode, one in found["modes"].items()} == {
        "always": True,
        "unsure": False,
        "flagged": False,
        "never": False,
    }
    # a score asks for a few tokens, and a reasoning for many
    assert 0 < found["modes"]["never"]["tokens"] < found["modes"]["always"]["tokens"] / 3
    assert page.read_text().startswith("<!doctype html>")


def test_its_completions_give_the_same_calibration_without_an_engine(run, events, tmp_path):
    _, (output, _, kept) = run
    done = calibrate(
        *(events, "--output", tmp_path / "c.json", "--from-completions", kept, "--json"),
        # no engine is needed
        GUARDSTREAM_ENGINE__KIND="vllm",
        GUARDSTREAM_ENGINE__MODEL="./nowhere",
    )
    assert done.returncode == 0, done.stderr
    first, second = json.loads(output.read_text()), json.loads(done.stdout)
    assert first | {"made_at": None} == second | {"made_at": None}


def test_an_interrupted_run_resumes_and_changes_nothing(run, events, tmp_path):
    _, (output, _, kept) = run
    half = tmp_path / "kept.jsonl"
    half.write_bytes(b"".join(kept.read_bytes().splitlines(keepends=True)[:100]) + b'{"id": "cut')
    done = calibrate(events, "--output", tmp_path / "c.json", "--save-completions", half)
    assert done.returncode == 0, done.stderr
    assert len(half.read_bytes().splitlines()) == 230
    first, second = (json.loads(one.read_text()) for one in (output, tmp_path / "c.json"))
    assert first["questions"] == second["questions"]


@pytest.mark.parametrize(
    ("count", "positive", "said"),
    [
        (199, True, "has 199 labels of prompt_harmfulness, and a calibration takes 200 or more"),
        (230, False, "0 are harmful by prompt_harmfulness"),
    ],
)
def test_too_few_labels_are_refused(tmp_path, count, positive, said):
    path = written(tmp_path / "events.jsonl", count, positive=positive)
    done = calibrate(path, "--output", tmp_path / "c.json")
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "c.json").exists()


def test_completions_without_scores_are_refused(events, tmp_path):
    kept = tmp_path / "kept.jsonl"
    done = guardstream("evaluate", str(events), "--save-completions", str(kept), **QUICK)
    assert done.returncode == 0, done.stderr
    done = calibrate(events, "--output", tmp_path / "c.json", "--from-completions", kept)
    assert done.returncode == 1
    assert "has scores of both stages" in done.stderr
