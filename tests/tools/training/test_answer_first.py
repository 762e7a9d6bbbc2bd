"""Rows that are learnt with the answers first: which ones, which tokens, which of them count."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.evaluation.rows import GUARD, event, labels
from training.answer_first import block, encode_answers, is_answer_first
from training.rows import Encoder, Row, fraction
from worker.adapters.vllm.tokenizer import JsonTokenizer
from worker.domain.prompts import Prompt
from worker.domain.questions import STANDARD_QUESTIONS, STANDARD_TASKS
from worker.guards.guardreasoner.parser import parse
from worker.runtime.engines import demonstration_model

TOKENIZER = JsonTokenizer.load(demonstration_model())
ENCODER = Encoder(GUARD, TOKENIZER)
PIECES = ("Answers: \nRequest:", "\nCompletion:", "\nResponse:")
some_labels = st.tuples(*(st.sampled_from(one.labels) for one in STANDARD_QUESTIONS))


def row(name="a", *, response="With flour.", given=None, completion=None):
    return Row(event(name, response=response, given=given), completion)


def learnt(ids, mask):
    return TOKENIZER._tokenizer.decode(
        [one for one, counts in zip(ids, mask, strict=True) if counts], skip_special_tokens=False
    )


def as_the_worker_continues(*texts):
    """The tokens of texts each of which continues those before it."""
    encoded = asyncio.run(TOKENIZER.encode([Prompt((text,)) for text in texts], 100))
    return [token for ids in encoded for token in ids]


@given(some_labels, st.booleans())
def test_a_block_is_the_pieces_that_the_worker_asks_with(said, has_response):
    said = said if has_response else (said[0], None, None)
    one = row(response="With flour." if has_response else None, given=labels(*said))
    ids, mask = block(ENCODER, one.event)
    asked = [label for label in said if label]
    expected = [
        text for piece, label in zip(PIECES, asked, strict=False) for text in (piece, f" {label}")
    ]
    assert ids == [*as_the_worker_continues(*expected), TOKENIZER.token_id("<|eot_id|>")]
    # each label, and whether another heading follows or the end
    assert learnt(ids, mask) == " " + "\n ".join(asked) + "<|eot_id|>"
    text = TOKENIZER._tokenizer.decode(ids)
    judgement = parse(text, has_response=has_response, finish_reason="stop")
    assert [judgement.reading(task).label for task in STANDARD_TASKS[: len(asked)]] == asked


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (("harmful", "refusal", None), " harmful\n refusal"),
        (("harmful", None, "harmful"), " harmful"),
        ((None, "refusal", "harmful"), ""),
    ],
)
def test_a_label_that_nobody_gave_ends_the_block_without_an_end_to_learn(said, expected):
    ids, mask = block(ENCODER, row(given=labels(*said)).event)
    assert learnt(ids, mask) == expected
    assert TOKENIZER.token_id("<|eot_id|>") not in ids
    assert not ids or mask[-1]


def test_rows_as_the_trainer_takes_them():
    rows = [row("a"), row("b", given=labels(None, "refusal")), row("c", response="long " * 300)]
    (encoded,) = encode_answers(ENCODER, rows, 250)
    (prompt,) = ENCODER.prompts([rows[0].event], 250)
    ids, mask = block(ENCODER, rows[0].event)
    assert encoded["input_ids"] == [*prompt, *ids]
    assert encoded["completion_mask"] == [0] * len(prompt) + mask
    # the answers count towards the limit too
    whole = len(prompt) + len(ids)
    assert encode_answers(ENCODER, rows[:1], whole) == [encoded]
    assert encode_answers(ENCODER, rows[:1], whole - 1) == []


ROWS = [row(str(n), completion="# Task 1" if n % 2 else None) for n in range(400)]


def answer_first(rows, share, seed):
    return [one for one in rows if is_answer_first(one.event.id, share, seed)]


def names(rows):
    return {one.event.id for one in rows}


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 5))
def test_a_larger_share_has_the_rows_of_a_smaller_one(one, other, seed):
    fewer, more = sorted((one, other))
    few, many = (answer_first(ROWS, share, seed) for share in (fewer, more))
    assert names(few) <= names(many)
    assert names(answer_first(ROWS[::-1], fewer, seed)) == names(few)
    # five standard deviations
    assert abs(len(few) - 400 * fewer) <= 50


def test_the_share_is_drawn_by_seed_from_rows_with_and_without_a_completion():
    assert answer_first(ROWS, 1.0, 3) == ROWS
    assert answer_first(ROWS, 0.0, 3) == []
    chosen = answer_first(ROWS, 0.5, 3)
    assert names(chosen) != names(answer_first(ROWS, 0.5, 4))
    assert {one.completion for one in chosen} == {None, "# Task 1"}


def test_rows_that_are_not_held_out_are_chosen_as_often_as_others():
    kept = [one for one in ROWS if fraction(one.event.id) >= 0.5]
    assert 0.3 < len(answer_first(kept, 0.5, 3)) / len(kept) < 0.7
