"""The command line as programs use it: stdin, stdout, exit codes."""

import contextlib
import json
import os
import subprocess
import sys

import pytest


def guardstream(*arguments, given="", **variables):
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "worker", *arguments],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | variables,
    )


def test_render_gives_the_exact_prompt():
    done = guardstream("render", given='{"id": "a", "prompt": "hi", "response": null}\n')
    (line,) = map(json.loads, done.stdout.splitlines())
    assert line["id"] == "a"
    assert line["prompt"].endswith("\n\nHuman user:\nhi\n\nAI assistant:\nNone\n\n")


def test_render_reports_a_bad_line_and_reads_the_next():
    given = '{"id": "a", "prompt": "hi"}\n{"id": "b"}\n{"id": "c", "prompt": "ho"}\n'
    done = guardstream("render", given=given)
    first, bad, last = map(json.loads, done.stdout.splitlines())
    assert (first["id"], last["id"]) == ("a", "c")
    assert bad.keys() == {"line", "error"}
    assert bad["line"] == 2
    assert "messages or prompt is required" in bad["error"]
    assert done.returncode == 1


def test_parse_takes_the_completions_of_a_guard_as_a_list():
    given = {"id": 1, "completion": ["Answers:\nRequest: harmful"], "has_response": False}
    (line,) = map(json.loads, guardstream("parse", given=json.dumps(given)).stdout.splitlines())
    assert line["prompt_harmfulness"]["label"] == "harmful"
    assert (line["criteria"], line["categories"], line["severity"]) == ({}, [], None)
    done = guardstream("parse", given=json.dumps(given | {"completion": []}))
    assert done.returncode == 1
    assert "Line 1: the guard guardreasoner asks for more than 0 completions" in done.stderr


def test_parse_reads_a_completion():
    given = {
        "id": 7,
        "completion": "# Task 1\n## Reasoning Step 1\nso\n\nAnswers: \nRequest: harmful",
        "has_response": False,
        "finish_reason": "stop",
    }
    (line,) = map(json.loads, guardstream("parse", given=json.dumps(given)).stdout.splitlines())
    assert line["id"] == 7
    assert line["status"] == "complete"
    assert line["prompt_harmfulness"] == {"label": "harmful", "score": None, "source": "answer"}
    assert line["response_refusal"] == {"label": None, "score": None, "source": None}
    assert line["reasoning"][0]["steps"] == ["so"]


def test_judge_without_kafka():
    done = guardstream(
        "judge",
        given='{"id": "a", "prompt": "hi"}\n{"id": 1}\n',
        GUARDSTREAM_ENGINE__KIND="simulated",
    )
    (verdict,) = map(json.loads, done.stdout.splitlines())
    assert (verdict["event_id"], verdict["flags"]) == ("a", ["simulated"])
    assert "Line 2: Not an event" in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "said"),
    [
        (["run"], {"GUARDSTREAM_BATCH__MAX_RECORDS": "0"}, 2, "batch.max_records"),
        (["run", "--config", "none.yaml"], {}, 2, "none.yaml is not there"),
        (["run"], {"GUARDSTREAM_ENGINE__MODEL": "./nowhere"}, 1, "./nowhere is not available"),
        (
            ["run"],
            {
                "GUARDSTREAM_ENGINE__KIND": "simulated",
                "GUARDSTREAM_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
                "GUARDSTREAM_KAFKA__CONNECT_TIMEOUT_SECONDS": "0.1",
            },
            1,
            "127.0.0.1:1 cannot be reached",
        ),
        (
            ["redrive", "--send"],
            {"GUARDSTREAM_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"},
            1,
            "127.0.0.1:1 cannot be reached",
        ),
        (["redrive", "--since", "soon"], {}, 2, "neither a time with its zone"),
        (["inspect", "an-id", "--since", "soon"], {}, 2, "neither a time with its zone"),
        (["inspect"], {}, 2, "Missing argument"),
        (
            ["inspect", "an-id"],
            {"GUARDSTREAM_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"},
            1,
            "127.0.0.1:1 cannot be reached",
        ),
        (["parse"], {}, 1, "Line 1"),
        (["evaluate", "nowhere.jsonl"], {}, 2, "does not exist"),
        (["nonsense"], {}, 2, "No such command"),
        (
            ["parse"],
            {"GUARDSTREAM_GUARD__NAME": "other"},
            2,
            "there is no guard 'other'; use guardr",
        ),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(arguments, variables, code, said):
    done = guardstream(*arguments, given="{", GUARDSTREAM_HEALTH__PORT="0", **variables)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@contextlib.contextmanager
def judging(**variables):
    """`guardstream judge` with the simulated engine, its pipes in our hands."""
    with subprocess.Popen(
        [sys.executable, "-m", "worker", "judge"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"GUARDSTREAM_ENGINE__KIND": "simulated"} | variables,
    ) as process:
        yield process


def test_judge_answers_before_its_input_ends():
    with judging() as process:
        for name in ("a", "b"):
            process.stdin.write(b'{"id": "%s", "prompt": "hi"}\n' % name.encode())
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["event_id"] == name
        assert process.communicate(timeout=120) == (b"", b"")
        assert process.returncode == 0


def test_judge_ends_quietly_when_nobody_reads_on():
    with judging() as process:
        process.stdin.write(b'{"id": "a", "prompt": "hi"}\n' * 20)
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        process.stdin.write(b'{"id": "a", "prompt": "hi"}\n' * 20)
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 0
