"""`judge` for files: what goes in, what comes out, and what a kill leaves."""

import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.offline import trial

SLOW = {
    "GUARDSTREAM_ENGINE__MAX_NUM_SEQS": "64",
    "GUARDSTREAM_ENGINE__SIMULATED__TIME_TO_FIRST_TOKEN_SECONDS": "0.1",
}
CONVERSATION = [
    {"role": "user", "content": "How do I bake bread?"},
    {"role": "assistant", "content": "Take flour."},
    {"role": "user", "content": "And then?"},
]


def judge(*arguments, given="", **variables):
    fast = {
        "GUARDSTREAM_ENGINE__KIND": "simulated",
        "GUARDSTREAM_ENGINE__SIMULATED__TIME_TO_FIRST_TOKEN_SECONDS": "0",
    }
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "worker", "judge", *map(str, arguments)],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | fast | variables,
    )


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_a_killed_run_resumes_with_each_row_once(tmp_path, suffix):
    figures = trial(tmp_path, 3000, kills=2, suffix=suffix, **SLOW)
    first, second = figures.killed_at
    assert 0 < first < second < 3000
    assert (figures.judged, figures.refused) == (2997, 3)
    assert "resuming at row" in (tmp_path / "verdicts.log").read_text()


def test_lines_are_judged_in_their_order_and_refusals_have_their_source(tmp_path):
    given, output = tmp_path / "events.jsonl", tmp_path / "verdicts.jsonl"
    lines = [json.dumps({"id": f"e-{n}", "prompt": f"hi {n}"}) for n in range(200)]
    lines[3] = "{"
    given.write_text("\n".join([*lines[:5], "", *lines[5:]]))
    done = judge(given, "--output", output)
    assert done.returncode == 1, done.stderr
    offsets = [one["source"]["offset"] for one in lines_of(output.read_text())]
    assert offsets == [n for n in range(201) if n not in {3, 5}]
    (refused,) = lines_of((tmp_path / "verdicts.jsonl.refused.jsonl").read_text())
    assert (refused["error"], refused["source"]["topic"]) == ("NotAnEvent", "events.jsonl")
    assert refused["source"]["offset"] == 3
    again = judge(given, "--output", output)
    assert (again.returncode, "complete already" in again.stderr) == (1, True)


def test_a_row_with_nested_columns_becomes_the_verdicts_of_each_turn(tmp_path):
    given, output = tmp_path / "events.parquet", tmp_path / "verdicts.parquet"
    pq.write_table(pa.table({"id": [7], "messages": [CONVERSATION], "extra": [b"\xff"]}), given)
    done = judge(given, "--output", output, GUARDSTREAM_INPUT__JUDGE="every")
    assert done.returncode == 0, done.stderr
    rows = pq.read_table(output).to_pylist()
    assert [(row["event_id"], row["source"]["exchange"]) for row in rows] == [
        ("7#0", 0),
        ("7#1", 1),
    ]
    assert rows[0]["prompt_harmfulness"]["label"] in {"harmful", "unharmful"}
    assert rows[0]["guard"]["name"] == "guardreasoner"
    assert not (tmp_path / "verdicts.parquet.refused.jsonl").exists()
    assert not (tmp_path / "verdicts.parquet.partial.jsonl").exists()


def test_a_column_of_values_holds_the_records(tmp_path):
    given = tmp_path / "dump.parquet"
    values = [b'{"id": "a", "prompt": "hi"}', None]
    pq.write_table(pa.table({"key": [b"k", b"l"], "body": values}), given)
    done = judge(given, "--value-column", "body")
    assert [one["event_id"] for one in lines_of(done.stdout)] == ["a"]
    assert (done.returncode, "Line 2: The value is empty." in done.stderr) == (1, True)
    pq.write_table(pa.table({"value": values}), given)
    assert judge(given).stdout.count("\n") == 1
    done = judge(given, "--value-column", "body")
    assert "has no column body, but value" in done.stderr


def test_a_result_of_something_else_is_not_continued(tmp_path):
    given, output = tmp_path / "events.jsonl", tmp_path / "verdicts.jsonl"
    given.write_text('{"id": "a", "prompt": "hi"}\n')
    assert judge(given, "--output", output).returncode == 0
    before = output.read_bytes()
    done = judge(given, "--output", output, GUARDSTREAM_INPUT__SAMPLE="0.5")
    assert (done.returncode, "another input.sample (1.0, now 0.5)" in done.stderr) == (1, True)
    given.write_text('{"id": "b", "prompt": "hi"}\n')
    assert "another content of the input" in judge(given, "--output", output).stderr
    (tmp_path / "verdicts.jsonl.progress.json").unlink()
    assert "to resume from" in judge(given, "--output", output).stderr
    assert output.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere.jsonl"], 2, "does not exist"),
        (["-", "--output", "o.jsonl"], 2, "stdin cannot"),
    ],
)
def test_arguments_that_cannot_be_used(arguments, code, said):
    done = judge(*arguments)
    assert (done.returncode, said in " ".join(done.stderr.split())) == (code, True), done.stderr
