"""Rows out of verdicts and human labels."""

from dataclasses import replace

import orjson
import pytest

from tests.tools.training.verdicts import labelled, verdict
from tests.unit.evaluation.rows import labels
from training.exchanges import compose
from training.labels import write_rows
from training.rows import read_rows
from worker.domain.errors import UnusableFile
from worker.domain.questions import PROMPT_HARMFULNESS, STANDARD_TASKS
from worker.domain.verdicts import encode_verdict
from worker.evaluation.labelled import read_event
from worker.guards.guardreasoner.parser import parse

EXAMPLES = compose("train", 40, 5)


@pytest.fixture
def files(tmp_path):
    class Files:
        verdicts = tmp_path / "verdicts.jsonl"
        labels = tmp_path / "labels.jsonl"
        train = tmp_path / "train.jsonl"
        held_out = tmp_path / "held-out.jsonl"

        def write(self, verdicts, labels, share=0.2):
            self.verdicts.write_bytes(b"".join(encode_verdict(v) + b"\n" for v in verdicts))
            self.labels.write_bytes(b"".join(one + b"\n" for one in labels))
            return write_rows(self.verdicts, self.labels, self.train, self.held_out, share)

        def rows(self):
            both = [*read_rows(self.train), *read_rows(self.held_out)]
            return {row.event.id: row for row in both}

    return Files()


def regular(example):
    if example.response is not None:
        return example.completion
    # a verdict on a prompt alone has no reasoning on a response
    first, _, rest = example.completion.partition("\n\n# Task 2")
    return f"{first}\n\n---{rest.partition('---')[2]}"


def opposite(example):
    other = {"harmful": "unharmful", "unharmful": "harmful"}
    return example.labels | {PROMPT_HARMFULNESS.name: other[example.labels["prompt_harmfulness"]]}


def test_verdicts_that_people_agree_with_are_learnt_from_and_others_mined(files):
    numbered = list(enumerate(EXAMPLES))
    made = files.write(
        # the last has no verdict, the fourth verdict no reasoning
        [verdict(n, e, reasoning=n != 3) for n, e in numbered[:-1]],
        [labelled(n, e, opposite(e) if n < 3 else None) for n, e in numbered],
    )
    assert (made.agreed, made.disagreed, made.unreasoned, made.unjudged) == (35, 3, 1, 1)
    rows = files.rows()
    assert len(rows) == 40
    for number, example in numbered:
        row = rows[str(number)]
        assert row.event.event.metadata == {"tenant": "a"}
        if 3 < number < 39:
            assert row.completion == regular(example)
            judgement = parse(
                row.completion, has_response=example.response is not None, finish_reason="stop"
            )
            assert {t: judgement.reading(t).label for t in STANDARD_TASKS} == example.labels
            assert "contradicts_conclusion" not in judgement.flags
        else:
            assert row.completion is None
        expected = opposite(example) if number < 3 else example.labels
        assert row.event.labels == expected


def test_a_label_that_nobody_gave_is_not_disagreed_with(files):
    given = [labels(example.labels["prompt_harmfulness"]) for example in EXAMPLES]
    made = files.write(
        [verdict(n, e) for n, e in enumerate(EXAMPLES)],
        [labelled(n, e, given[n]) for n, e in enumerate(EXAMPLES)],
    )
    assert made.agreed == 40


@pytest.mark.parametrize("flag", ["contradicts_conclusion", "simulated"])
def test_what_contradicts_itself_or_was_not_judged_is_not_learnt_from(files, flag):
    verdicts = [verdict(n, e) for n, e in enumerate(EXAMPLES)]
    verdicts[0] = replace(verdicts[0], flags=(flag,))
    made = files.write(verdicts, [labelled(n, e) for n, e in enumerate(EXAMPLES)])
    assert (made.agreed, made.unreasoned) == (39, 1)
    assert files.rows()["0"].completion is None


def test_the_same_rows_are_held_out_each_time(files):
    lines = [labelled(n, e) for n, e in enumerate(EXAMPLES)]
    files.write([verdict(n, e) for n, e in enumerate(EXAMPLES)], lines, share=0.3)
    first = files.held_out.read_bytes()
    files.write([verdict(n, e) for n, e in enumerate(EXAMPLES)], lines[::-1], share=0.3)
    held_out = sorted(first.splitlines())
    assert sorted(files.held_out.read_bytes().splitlines()) == held_out
    assert 0 < len(held_out) < 30


def test_what_is_not_about_the_same_events_is_refused(files):
    verdicts = [verdict(n + 100, e) for n, e in enumerate(EXAMPLES)]
    with pytest.raises(UnusableFile, match="has no verdict on an event of"):
        files.write(verdicts, [labelled(n, e) for n, e in enumerate(EXAMPLES)])


def test_a_row_is_read_by_whoever_evaluates(files):
    files.write(
        [verdict(n, e) for n, e in enumerate(EXAMPLES)],
        [labelled(n, e) for n, e in enumerate(EXAMPLES)],
    )
    for row in files.train.read_bytes().splitlines():
        assert read_event("line 1", row).labels
        assert set(orjson.loads(row)) >= {"id", "prompt", "response", "labels", "completion"}
