"""From answers to the document, written and read back."""

from dataclasses import replace

import pytest

from tests.unit.evaluation.rows import (
    GUARD,
    PROVENANCE,
    answer,
    event,
    labelled,
    labels,
)
from worker.domain.errors import UnusableFile
from worker.domain.questions import PROMPT_HARMFULNESS, RESPONSE_REFUSAL
from worker.evaluation.analysis import evaluate
from worker.evaluation.answers import unjudged
from worker.evaluation.other_run import Other, compare, read_other
from worker.evaluation.results import encode_evaluation, read_evaluation

HARMFUL = labels("harmful")


def run(answers, events=None, slices=(), **changes):
    events = events or [event(name, response=None, given=HARMFUL) for name in answers]
    settings = {"resamples": 100, "seed": 1, "provenance": PROVENANCE} | changes
    return evaluate(labelled(*events), answers, slices=slices, **settings)


def test_rows_without_a_verdict_count_as_wrong_and_are_counted_apart():
    found = run(
        {
            "a": answer("harmful"),
            "b": answer("unharmful"),
            "c": answer(status="inconclusive"),
            "d": unjudged("The prompt is too long."),
        }
    )
    assert found.statuses == {"complete": 2, "inconclusive": 1, "unjudged": 1}
    assert found.is_partial
    task = found.tasks[PROMPT_HARMFULNESS.name]
    assert task.confusion["harmful"] == {"harmful": 1, "unharmful": 1, "unreadable": 2}
    assert (task.labelled, task.support, task.unreadable) == (4, 4, 2)
    assert task.recall.value == 1 / 4
    assert task.lenient["recall"] == 1 / 2
    assert found.tasks[RESPONSE_REFUSAL.name].labelled == 0
    assert found.rows[3].reason == "The prompt is too long."


def test_slices_by_a_field_the_largest_first():
    values = ["de", "en", "en", None, 7, {"a": 1}]
    events = [
        event(str(n), response=None, given=HARMFUL, metadata={"x": {"language": value}})
        for n, value in enumerate(values)
    ]
    answers = {one.id: answer("harmful" if one.id == "0" else "unharmful") for one in events}
    found = run(answers, events, ["metadata.x.language"]).slices
    assert [(one.value, one.rows) for one in found] == [
        ("en", 2),
        ("(none)", 1),
        ("7", 1),
        ("de", 1),
        ('{"a":1}', 1),
    ]
    recall = {one.value: one.tasks[PROMPT_HARMFULNESS.name].recall.value for one in found}
    assert recall == {"en": 0, "(none)": 0, "7": 0, "de": 1, '{"a":1}': 0}


@pytest.mark.parametrize(
    ("field", "message"), [("metadata.m", "No event has metadata.m"), ("metadata.n", "101 values")]
)
def test_a_slice_without_values_or_with_too_many_is_refused(field, message):
    events = [event(str(n), response=None, given=HARMFUL, metadata={"n": n}) for n in range(101)]
    with pytest.raises(UnusableFile, match=message):
        run({one.id: answer("harmful") for one in events}, events, [field])


def test_the_document_is_read_back_as_it_was(tmp_path):
    found = run({"a": answer("harmful"), "b": unjudged("Too long.")}, slices=["id"])
    found = compare(found, Other("b.json", None, {"a": HARMFUL}, {}))
    path = tmp_path / "r.json"
    path.write_bytes(encode_evaluation(found))
    assert read_evaluation(path) == found


@pytest.mark.parametrize("content", [b"", b"[]", b'{"id": "a", "completion": ""}\n{'])
def test_another_file_is_no_document(tmp_path, content):
    path = tmp_path / "r.json"
    path.write_bytes(content)
    assert read_evaluation(path) is None


def test_a_document_of_another_version_is_refused(tmp_path):
    path = tmp_path / "r.json"
    path.write_bytes(b'{"schema": "guardstream.evaluation/9", "rows": []}')
    with pytest.raises(UnusableFile, match="written by another version"):
        read_evaluation(path)


def test_runs_are_compared_on_the_same_exchanges_only(tmp_path):
    ours = run({name: answer("harmful") for name in "abc"})
    path = tmp_path / "theirs.json"
    others = [
        event("a", response=None, given=HARMFUL),
        event("b", response=None, given=HARMFUL, prompt="another text"),
        event("d", response=None, given=HARMFUL),
    ]
    theirs = run({one.id: answer("unharmful") for one in others}, others)
    path.write_bytes(encode_evaluation(theirs))
    found = compare(ours, read_other(path, labelled(*others), GUARD)).comparison
    assert (found.rows, found.changed, found.only_here, found.only_there) == (1, 1, 1, 1)
    assert found.other_guard == PROVENANCE.guard
    (one,) = found.disagreements
    assert (one.id, one.label, one.ours, one.theirs) == ("a", "harmful", "harmful", "unharmful")
    assert found.tasks[PROMPT_HARMFULNESS.name].only_ours == 1


def test_runs_with_no_row_in_common_are_not_compared():
    with pytest.raises(UnusableFile, match="holds none of these events"):
        compare(run({"a": answer("harmful")}), Other("b.json", None, {"z": HARMFUL}, {}))


def test_figures_do_not_depend_on_the_order_of_rows():
    answers = {str(n): answer("harmful" if n % 3 else "unharmful") for n in range(60)}
    backwards = dict(reversed(answers.items()))
    one, other = run(answers), run(backwards)
    assert one.tasks == other.tasks
    assert run(answers, seed=2).tasks != one.tasks
    assert replace(one, rows=[]) == replace(other, rows=[])
