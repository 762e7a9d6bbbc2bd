"""Completions in files: written as they arrive, read back, never half."""

import errno
from dataclasses import replace

import orjson
import pytest

from tests.unit.evaluation.rows import ENGINE, GUARD, REFERENCE, completion, event, labels
from worker.domain.errors import UnusableFile
from worker.domain.questions import STANDARD_TASKS
from worker.evaluation.answers import StoredCompletion, rendered_sha256
from worker.evaluation.keeping import completions_file, require_writable, write_whole
from worker.evaluation.stored import read_stored

WHOLE = StoredCompletion(
    "a", completion(), has_response=True, finish_reason="stop", guard=REFERENCE, engine=ENGINE
)


def kept(path, *completions):
    with completions_file(path, REFERENCE) as file:
        for one in completions:
            file.append(one)


def test_what_is_appended_is_read_back_and_the_last_of_an_id_counts(tmp_path):
    path = tmp_path / "c.jsonl"
    kept(path, WHOLE, replace(WHOLE, id="b"))
    kept(path, replace(WHOLE, completion=completion("harmful")))
    stored = read_stored(path)
    assert set(stored.completions) == {"a", "b"}
    assert (stored.guard, stored.engine) == (REFERENCE, ENGINE)
    answer = stored.answer(event("a"), GUARD)
    assert answer.predicted == labels("harmful", "compliance", "unharmful")
    assert stored.answer(event("c"), GUARD).reason.startswith("There is no completion")


@pytest.mark.parametrize("torn", [b'{"id": "b", "comp', b"{", b'{"id": "b"' + b"x" * 100_000])
def test_an_incomplete_last_line_is_skipped(tmp_path, torn):
    path = tmp_path / "c.jsonl"
    kept(path, WHOLE)
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert set(read_stored(path).completions) == {"a"}
    kept(path, replace(WHOLE, id="c"))
    assert path.read_bytes().startswith(whole + b'{"id":"c"')
    assert set(read_stored(path).completions) == {"a", "c"}


def test_a_last_line_that_lacks_only_its_newline_is_read(tmp_path):
    path = tmp_path / "c.jsonl"
    kept(path, WHOLE)
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    assert set(read_stored(path).completions) == {"a"}
    kept(path, replace(WHOLE, id="c"))
    assert set(read_stored(path).completions) == {"a", "c"}


def test_an_incomplete_line_elsewhere_is_refused(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_bytes(b'{"id": "b", "comp\n{"id": "a", "completion": ""}\n')
    with pytest.raises(UnusableFile, match="line 1: neither a completion nor a verdict"):
        read_stored(path)


def test_lines_of_other_programs_need_no_more_than_id_and_completion(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_bytes(orjson.dumps({"id": 7, "completion": completion("harmful"), "x": 1}))
    stored = read_stored(path)
    assert stored.guard is None
    answer = stored.answer(event("7", response=None, given=labels("harmful")), GUARD)
    # there is no prediction for a response that does not exist
    assert answer.predicted == labels("harmful")


def test_a_completion_of_another_text_answers_nothing(tmp_path):
    path = tmp_path / "c.jsonl"
    kept(path, replace(WHOLE, rendered_sha256=rendered_sha256(event("a"), GUARD)))
    stored = read_stored(path)
    assert stored.answer(event("a"), GUARD).status == "complete"
    other = stored.answer(event("a", prompt="another"), GUARD)
    assert (other.status, other.predicted) == ("unjudged", {})
    assert "another prompt" in other.reason


def test_the_answers_of_two_models_are_not_mixed(tmp_path):
    path = tmp_path / "c.jsonl"
    kept(path, WHOLE)
    with (
        pytest.raises(UnusableFile, match="another guard, model or engine"),
        completions_file(path, replace(REFERENCE, model="other")),
    ):
        pass
    with (
        completions_file(path, REFERENCE) as file,
        pytest.raises(UnusableFile, match="another guard, model or engine"),
    ):
        file.require_engine(replace(ENGINE, version="2"))
    lines = [WHOLE, replace(WHOLE, guard=replace(REFERENCE, model="other"))]
    path.write_bytes(b"\n".join(map(orjson.dumps, lines)))
    with pytest.raises(UnusableFile, match="several guards or engines"):
        read_stored(path)


def test_one_run_writes_at_a_time(tmp_path):
    path = tmp_path / "c.jsonl"
    with (
        completions_file(path, REFERENCE),
        pytest.raises(UnusableFile, match="by another run"),
        completions_file(path, REFERENCE),
    ):
        pass


def test_a_full_disk_is_reported_and_leaves_no_partial_result(tmp_path, monkeypatch):
    path = tmp_path / "r.json"
    path.write_bytes(b"before")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UnusableFile, match="cannot be written: No space left on device"):
        write_whole(path, b"after")
    assert path.read_bytes() == b"before"
    assert [one.name for one in tmp_path.iterdir()] == ["r.json"]
    monkeypatch.undo()
    write_whole(path, b"after")
    assert path.read_bytes() == b"after"


def test_a_path_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    require_writable(tmp_path / "new.json")
    for path in (tmp_path, tmp_path / "nowhere" / "r.json"):
        with pytest.raises(UnusableFile, match="cannot be written"):
            require_writable(path)


def test_a_verdict_is_an_answer_too(tmp_path):
    reading = {"label": "harmful", "source": "answer"}
    none = {"label": None, "source": None}
    verdict = {
        "verdict_id": "v",
        "event_id": "a",
        "conversation_id": None,
        "source": {"topic": "t", "partition": 0, "offset": 0, "timestamp": "t"},
        "status": "inconclusive",
        **dict.fromkeys(STANDARD_TASKS, none),
        "prompt_harmfulness": reading,
        "reasoning": [],
        "flags": ["simulated"],
        "guard": REFERENCE,
        "engine": ENGINE,
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "cached_tokens": 0},
        "finish_reason": "stop",
        "occurred_at": None,
        "received_at": "t",
        "judged_at": "t",
        "schema": "guardstream.verdict/1",
    }
    path = tmp_path / "v.jsonl"
    path.write_bytes(orjson.dumps(verdict, option=orjson.OPT_NON_STR_KEYS) + b"\n")
    answer = read_stored(path).answer(event("a"), GUARD)
    assert (answer.status, answer.predicted) == ("inconclusive", labels("harmful"))
    assert answer.flags == ("simulated",)


def test_a_truncated_completion_predicts_nothing_for_each_question(tmp_path):
    path = tmp_path / "c.jsonl"
    cut = {"id": "a", "completion": completion("harmful"), "finish_reason": "length"}
    path.write_bytes(orjson.dumps(cut))
    answer = read_stored(path).answer(event("a"), GUARD)
    assert (answer.status, answer.predicted) == ("inconclusive", labels())
