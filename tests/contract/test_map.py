"""`guardstream map`: raw lines in, events out, and a report."""

import orjson
import pytest
from typer.testing import CliRunner

from worker import cli

GOOD = {
    "id": "a",
    "call_type": "acompletion",
    "messages": [{"role": "user", "content": "How do I bake bread?"}],
    "response": {"choices": [{"message": {"role": "assistant", "content": "Mix flour."}}]},
}
LINES = [
    orjson.dumps(GOOD),
    orjson.dumps({"id": "b", "call_type": "aembedding", "input": ["x"]}),
    b"no JSON",
    *[orjson.dumps(GOOD | {"messages": 7})] * 4,
]


def run(*arguments, lines=LINES):
    cli.register()
    return CliRunner().invoke(cli.app, ["map", *arguments], input=b"\n".join(lines))


def test_events_come_out_and_the_report_says_what_was_understood():
    done = run("--mapping", "litellm")
    assert done.exit_code == 1
    (event,) = map(orjson.loads, done.stdout.splitlines())
    assert event["messages"][-1]["content"] == "Mix flour."
    said = " ".join(done.stderr.split())
    assert "7, of which 2 are understood" in said
    assert "1, of which 1 have a response" in said
    assert "skipped 1 (not_an_exchange)" in said
    assert "refused 5 (NotAnEvent)" in said
    assert "messages 1 of 1" in said
    assert "conversation_id 0 of 1" in said
    assert "line 3: NotAnEvent: The value is not JSON" in said
    assert said.count("line 4: NotAnEvent:") == said.count("line 5: NotAnEvent:") == 1
    assert "… and 2 more" in said


def test_without_a_refusal_it_ends_well_and_quiet_says_nothing():
    done = run("--mapping", "litellm", "--quiet", lines=LINES[:2])
    assert done.exit_code == 0
    assert not done.stderr


def test_the_best_mapping_is_suggested_first():
    done = run("--suggest")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == "GUARDSTREAM_INPUT__MAPPING=litellm"
    plain = orjson.dumps({"id": "a", "prompt": "hello", "response": "hi", "user_id": "u"})
    assert run("--suggest", lines=[plain]).stdout.splitlines()[-1].endswith("=none")


def test_lines_that_no_mapping_understands():
    done = run("--suggest", lines=[b"{}"])
    assert done.exit_code == 1
    assert "No mapping that ships understands these lines" in done.stderr


@pytest.mark.parametrize("quiet", [(), ("--quiet",)])
def test_a_mapping_of_ones_own(tmp_path, quiet):
    file = tmp_path / "mine.yaml"
    file.write_text("exchanges: items\nevent: {prompt: q}\n")
    done = run("--mapping", str(file), *quiet, lines=[b'{"items": [{"q": "a"}, {"q": ""}]}'])
    assert [orjson.loads(line)["prompt"] for line in done.stdout.splitlines()] == ["a"]
    assert done.exit_code == 1
    assert quiet or "line 1, exchange 1: NothingToJudge:" in done.stderr
