"""The earlier turns that exchanges of a conversation come with."""

import itertools
from contextlib import suppress

import orjson
from hypothesis import given
from hypothesis import strategies as st

from worker.decoding import conversation
from worker.decoding.conversation import read_every_exchange, read_messages
from worker.decoding.decoder import EventDecoder, Refused
from worker.decoding.events import decode_event
from worker.decoding.mapping import load_mapping
from worker.domain.errors import NotAnEvent
from worker.domain.events import CONTEXT_TRUNCATED, Exchange, Turn, judged_exchange
from worker.domain.records import record_of_line

IMAGE = [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]
CALL = {"role": "assistant", "tool_calls": [{"id": "1"}], "content": None}
THINKING = {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}]}
BAD = {"role": "assistant", "content": [{"type": "output_text", "text": 7}]}


def user(content):
    return {"role": "user", "content": content}


def assistant(content):
    return {"role": "assistant", "content": content}


def pairs(*texts):
    """Turns of user and assistant."""
    return [user(text) if n % 2 == 0 else assistant(text) for n, text in enumerate(texts)]


def context(messages, turns=10, response=None):
    found = read_messages(messages, response, turns)
    return [turn.text for turn in found.context], CONTEXT_TRUNCATED in found.flags


def test_the_newest_turns_come_first_and_whole_exchanges_are_kept():
    messages = pairs("u1", "a1", "u2", "a2", "u3", "a3", "u4", "a4")
    assert context(messages) == (["u1", "a1", "u2", "a2", "u3", "a3"], False)
    assert context(messages, 6) == (["u1", "a1", "u2", "a2", "u3", "a3"], False)
    for turns in (4, 5):
        assert context(messages, turns) == (["u2", "a2", "u3", "a3"], True)
    assert context(messages, 1) == ([], True)
    assert context(messages, 0) == ([], False)
    assert context(messages[:2]) == ([], False)
    assert context(messages[:-1], response="a4") == context(messages)
    roles = [turn.role for turn in read_messages(messages, None, 4).context]
    assert roles == ["user", "assistant"] * 2


def test_it_has_neither_calls_nor_results_nor_thinking_nor_system_prompts():
    messages = [
        {"role": "system", "content": "s"},
        assistant("greeting"),
        user("u1"),
        CALL,
        {"role": "tool", "content": "result"},
        THINKING,
        assistant("a1"),
        assistant("a1b"),
        {"role": "system", "content": "s"},
        user([{"type": "text", "text": "u2"}, *IMAGE]),
        user("u2b"),
        assistant("a2"),
        user("judged"),
    ]
    assert context(messages) == (["u1", "a1\n\na1b", "u2\n\nu2b", "a2"], False)


def test_an_exchange_without_text_on_one_side_is_left_out():
    for one_sided in (pairs(IMAGE, "a"), pairs("u", IMAGE), pairs(" ", "a")):
        messages = [*pairs("u1", "a1"), *one_sided, *pairs("u3", "a3", "judged")]
        assert context(messages) == (["u1", "a1", "u3", "a3"], True)


def test_an_older_turn_that_cannot_be_read_ends_the_context():
    messages = [*pairs("u1", "a1", "u2"), BAD, *pairs("u3", "a3", "judged")]
    assert context(messages) == (["u3", "a3"], True)
    # its exchange begins with what cannot be read
    assert context([7, *messages[4:]]) == ([], True)
    every = read_every_exchange(messages, None, 10)
    assert [isinstance(one, NotAnEvent) for one in every] == [False, True, False, False]
    assert [turn.text for turn in every[-1].context] == ["u3", "a3"]
    assert every[2].context == ()


CONTENTS = st.one_of(
    st.text(st.sampled_from("ab \n"), max_size=3),
    st.just(IMAGE),
    st.none(),
    st.just([{"type": "thinking", "thinking": "t"}]),
    st.just([{"type": "output_text", "text": 7}]),
)
MESSAGES = st.lists(
    st.one_of(
        st.builds(
            lambda role, content: {"role": role, "content": content},
            st.sampled_from(["user", "assistant", "model", "system", "tool", "Human"]),
            CONTENTS,
        ),
        st.just(CALL),
        st.none(),
        st.just("text"),
    ),
    max_size=14,
)


def numbered(messages):
    """The same messages, with a number in each text, so that no two are equal."""
    return [
        one | {"content": f"{one['content']}{number};"}
        if isinstance(one, dict) and isinstance(one["content"], str) and one["content"].strip()
        else one
        for number, one in enumerate(messages)
    ]


@given(MESSAGES, st.integers(0, 7), st.sampled_from([None, "answer"]))
def test_any_conversation_has_contexts_that_alternate_and_repeat_nothing(messages, turns, response):
    messages = numbered(messages)
    every = read_every_exchange(messages, response, turns)
    plain = read_every_exchange(messages, response)
    assert len(every) == len(plain)
    seen = []
    for number, (one, without) in enumerate(zip(every, plain, strict=True)):
        if not isinstance(one, Exchange):
            assert type(one) is type(without)
            seen = [] if isinstance(one, NotAnEvent) else seen
            continue
        # it changes nothing of what is judged
        assert (one.prompt, one.response) == (without.prompt, without.response)
        roles = [turn.role for turn in one.context]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        # the newest turns that were judged as exchanges before
        texts = [turn.text for turn in one.context]
        assert texts == seen[len(seen) - len(texts) :]
        assert len(texts) == min(len(seen), turns - turns % 2)
        assert (CONTEXT_TRUNCATED in one.flags) == (bool(turns) and len(texts) < 2 * number)
        assert all(text.strip() for text in texts)
        assert one.prompt not in texts
        if one.response is not None:
            seen += [one.prompt, one.response]
    try:
        last = read_messages(messages, response, turns)
    except NotAnEvent:
        last = None
    if isinstance(last, Exchange):
        assert last == every[-1]


@given(MESSAGES, st.integers(0, 7))
def test_a_conversation_without_context_is_read_as_it_was(messages, turns):
    def read(**given):
        try:
            return read_messages(messages, **given)
        except NotAnEvent as error:
            return str(error)

    found, before = read(context_turns=turns), read()
    if isinstance(found, Exchange):
        assert (found.prompt, found.response) == (before.prompt, before.response)
        assert set(found.flags) - {CONTEXT_TRUNCATED} == set(before.flags)
    else:
        assert found == before


RESULT = [{"type": "tool_result", "content": "r"}]
SHAPES = (
    *(pairs(*texts) for texts in (("u", "a"), (IMAGE, "a"), ("u", IMAGE), (RESULT, "a"))),
    [user("u"), CALL],
    [user(7), assistant("a")],
    [user("u"), BAD],
)


def test_each_message_of_a_long_conversation_is_read_a_few_times(monkeypatch):
    reads = []
    read = conversation.read_message
    monkeypatch.setattr(
        conversation, "read_message", lambda *given: reads.append(given[2]) or read(*given)
    )
    for many in (100, 1_000):
        for shape, first in itertools.product(SHAPES, ([], [7], [BAD], [user(7)])):
            messages = [*first, *shape * (many // 2), user("judged"), BAD, user("judged")]
            reads.clear()
            with suppress(NotAnEvent):
                read_messages(messages, None, 1000)
            read_every_exchange(messages, None, 100)
            assert len(reads) <= 8 * many


def test_turns_are_shared_by_the_contexts_of_a_conversation():
    every = read_every_exchange(pairs(*(["u", "a"] * 50)), None, 20)
    assert len({id(turn) for one in every for turn in one.context}) == 98


def test_the_decoder_gives_each_exchange_its_own_context():
    value = orjson.dumps({"id": "c", "messages": pairs("u1", "a1", "u2", "a2", "u3")})
    record = record_of_line("t", 0, value, 0.0)
    every = EventDecoder(judged="every", context_turns=2).decode(record).exchanges
    assert [[turn.text for turn in one.exchange.context] for one in every] == [
        [],
        ["u1", "a1"],
        ["u2", "a2"],
    ]
    (last,) = EventDecoder(context_turns=2).decode(record).exchanges
    assert last.exchange == every[-1].exchange
    assert judged_exchange(decode_event(value)).context == ()


def test_a_placeholder_for_a_message_that_was_not_logged_is_no_context():
    decoder = EventDecoder(mapping=load_mapping("litellm"), context_turns=6)
    (redacted, *_) = decoder._mapping.redacted_texts
    messages = pairs("u1", "a1", "u2", redacted, "u3", "a3", "judged")
    value = orjson.dumps({"id": "c", "call_type": "completion", "messages": messages})
    (found,) = decoder.decode(record_of_line("t", 0, value, 0.0)).exchanges
    assert not isinstance(found, Refused)
    assert [turn.text for turn in found.exchange.context] == ["u3", "a3"]
    assert CONTEXT_TRUNCATED in found.exchange.flags


@given(st.lists(st.text(max_size=2), max_size=5), st.integers(0, 12))
def test_the_newest_turns_are_kept_in_pairs(texts, turns):
    held = [turn for text in texts for turn in (Turn("user", text), Turn("assistant", text))]
    exchange = Exchange("p", None, (), tuple(held))
    kept = exchange.with_newest(turns)
    assert list(kept.context) == held[max(len(held) - (turns - turns % 2), 0) :]
    assert kept.flags == ((CONTEXT_TRUNCATED,) if len(kept.context) < len(held) else ())
    assert kept.with_newest(turns) is kept
