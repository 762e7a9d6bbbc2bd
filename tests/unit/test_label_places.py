"""Where a completion has the labels whose probability is wanted."""

from hypothesis import given
from hypothesis import strategies as st

from worker.adapters.vllm.request_options import starts_of
from worker.adapters.vllm.tokenizer import JsonTokenizer
from worker.domain.engines import LabelPlace
from worker.guards.guardreasoner.answers import headings, places, questions_of, written
from worker.runtime.engines import demonstration_model

TOKENIZER = JsonTokenizer.load(demonstration_model())
QUESTIONS = questions_of(has_response=True)
AFTERS = [place.after for place in places(QUESTIONS)]


def starts_in(ids, afters=AFTERS, tokenizer=TOKENIZER, *, last=False):
    def written(count):
        return tokenizer.text(ids[:count])

    wanted = [LabelPlace((), after, last=last) for after in afters]
    return list(starts_of(wanted, written(len(ids)), len(ids), written))


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
    for after, start in zip(AFTERS, starts_in(ids), strict=True):
        if start is not None and after:
            assert TOKENIZER.text(ids[:start]).endswith(after)


def test_a_token_that_reaches_over_the_place_is_no_start():
    ids = TOKENIZER.ids(" harmful\nCompletion")
    assert starts_in(ids, ["", "\nComp"]) == [0, None]


# a byte of it that is written alone is a character of its own
BYTES = st.sampled_from(["\u4e2d", "\U0001f600", "\ud55c\u0301", "a", " ", "\nX:", "X: "])


@given(st.lists(BYTES, max_size=30), st.booleans())
def test_places_are_found_as_if_each_token_was_decoded(pieces, last):
    text = "".join([*pieces, "\nX: yes", *pieces])
    ids = TOKENIZER.ids(text)
    written = [TOKENIZER.text(ids[:n]) for n in range(len(ids) + 1)]
    at = (text.rfind if last else text.find)("\nX:") + 3
    exact = [n for n, one in enumerate(written) if one == text[:at]]
    assert starts_in(ids, ["\nX:"], last=last) == [max(exact, default=None)]


@given(st.lists(st.integers(6, 2000), max_size=40), st.integers(0, 40))
def test_any_bytes_before_a_place_do_not_hide_it(noise, cut):
    ids = [*noise[:cut], *TOKENIZER.ids("\nX:"), *TOKENIZER.ids(" yes")]
    written = [TOKENIZER.text(ids[:n]) for n in range(len(ids) + 1)]
    at = written[-1].rfind("\nX:")
    exact = [n for n, one in enumerate(written) if at >= 0 and one == written[-1][: at + 3]]
    assert starts_in(ids, ["\nX:"], last=True) == [max(exact, default=None)]


def test_control_tokens_come_before_the_label():
    end = TOKENIZER.token_id("<|end_header_id|>")
    ids = [*TOKENIZER.ids("thought final"), end, *TOKENIZER.ids("1")]
    assert starts_in(ids, ["final"]) == [len(ids) - 1]


def test_the_last_place_counts_where_reasoning_comes_before():
    ids = TOKENIZER.ids("Harm: yes, or Harm: no. Refusal: no")
    first, second = (starts_in(ids, ["Harm:", "Refusal:"], last=last) for last in (False, True))
    assert first[1] == second[1]
    assert TOKENIZER.text(ids[: first[0]]) == "Harm:"
    assert TOKENIZER.text(ids[: second[0]]) == "Harm: yes, or Harm:"


def test_a_long_completion_is_decoded_a_few_times():
    ids = TOKENIZER.ids("It is a long thought. " * 2000 + "Harm: yes")
    decoded = []

    def written(count):
        decoded.append(count)
        return TOKENIZER.text(ids[:count])

    places_ = [LabelPlace((), "Harm:", last=True)]
    (start,) = starts_of(places_, TOKENIZER.text(ids), len(ids), written)
    assert TOKENIZER.text(ids[start:]) == " yes"
    assert len(decoded) <= len(ids).bit_length() + 2
