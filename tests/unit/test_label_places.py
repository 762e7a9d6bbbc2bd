"""Where a completion has the labels whose probability is wanted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.adapters.vllm.request_options import starts_of
from worker.adapters.vllm.tokenizer import JsonTokenizer
from worker.guards.guardreasoner.answers import headings, places, questions_of, written
from worker.runtime.engines import demonstration_model

TOKENIZER = JsonTokenizer.load(demonstration_model())
QUESTIONS = questions_of(has_response=True)
AFTERS = [place.after for place in places(QUESTIONS)]


def starts_in(ids, afters=AFTERS):
    return list(starts_of(afters, *TOKENIZER.ends(ids)))


def block(labels):
    """The tokens of a block as it is trained, and where each label begins in them."""
    ids, starts = [], []
    for (_, heading), label in zip(headings(QUESTIONS), labels, strict=True):
        if starts:
            ids += TOKENIZER.ids(heading)
        starts.append(len(ids))
        ids += TOKENIZER.ids(written(label))
    return ids, starts


LABELS = st.tuples(*(st.sampled_from(question.labels) for question in QUESTIONS))


@given(LABELS, st.text(max_size=20))
def test_each_label_is_found_where_it_begins(labels, more):
    ids, starts = block(labels)
    assert starts_in([*ids, *TOKENIZER.ids(more)]) == starts


@given(LABELS, st.integers(0, 30))
def test_what_was_cut_off_has_the_places_before_the_cut(labels, cut):
    ids, starts = block(labels)
    found = starts_in(ids[:cut])
    assert found == [start if start == 0 or start <= cut else None for start in starts]


@given(st.lists(st.integers(6, 2000), max_size=24))
def test_any_tokens_have_places_or_none(ids):
    text, ends = TOKENIZER.ends(ids)
    for after, start in zip(AFTERS, starts_in(ids), strict=True):
        if start is not None and after:
            assert text[: ends[start - 1]].endswith(after)


def test_a_token_that_reaches_over_the_place_is_no_start():
    ids = TOKENIZER.ids(" harmful\nCompletion")
    assert starts_in(ids, ["", "\nComp"]) == [0, None]


@pytest.mark.parametrize("text", ["", " harmful"])
def test_the_end_of_a_text_is_where_its_last_token_ends(text):
    found, ends = TOKENIZER.ends(TOKENIZER.ids(text))
    assert found == text
    assert ends[-1:] == ([len(text)] if text else [])
