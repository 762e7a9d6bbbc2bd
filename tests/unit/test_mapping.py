"""Mappings: from records of another shape to events."""

import dataclasses

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_expressions import JSON
from worker.decoding.decoder import Decoded, EventDecoder, Refused
from worker.decoding.expressions import Expression
from worker.decoding.mapping import EventMapping, MappingFile, load_mapping, presets
from worker.decoding.selection import Selection
from worker.domain.errors import NotAnEvent, NothingToJudge, Redacted, WrongSetting
from worker.domain.events import Exchange, Skip
from worker.domain.records import record_of_line

CONVERSATION = [
    {"role": "assistant", "content": "Hi, how can I help?"},
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "first"},
    {"role": "user", "content": "two"},
    {"role": "user", "content": [{"type": "tool_result", "content": "x"}]},
    {"role": "assistant", "content": "second"},
    {"role": "user", "content": "three"},
]


def mapping(**file):
    return EventMapping(MappingFile.model_validate(file), "test")


def decode(value, **decoder):
    return EventDecoder(**decoder).decode(record_of_line("t", 7, orjson.dumps(value), 0.0))


def texts(decoding):
    return [
        (one.number, one.exchange.prompt, one.exchange.response)
        if isinstance(one, Decoded)
        else (one.number, type(one.error).__name__)
        for one in decoding.exchanges
    ]


LOG = {
    "unwrap": "log",
    "exchanges": "items",
    "keep": "kind == 'chat'",
    "refuse": [{"when": "broken", "because": "The item is broken."}],
    "redacted": {"texts": ["(removed)"], "when": "hidden"},
    "event": {"id": "name", "prompt": "q", "response": "a", "occurred_at": "at < `1`"},
}
ITEMS = [
    {"kind": "chat", "name": "n0", "q": "hello", "a": "hi"},
    {"kind": "other"},
    {"kind": "chat", "broken": True, "q": "hello"},
    {"kind": "chat", "q": "hello", "a": " (removed) "},
    {"kind": "chat", "q": "hello", "hidden": 1},
    {"kind": "chat", "a": "hi"},
    {"kind": "chat", "q": "", "a": "hi"},
    {"kind": "chat", "q": "bye", "at": "text"},
    "no object",
]


def test_each_element_is_judged_skipped_or_refused_under_its_number():
    found = decode({"log": {"items": ITEMS}}, mapping=mapping(**LOG))
    assert [one.number for one in found.exchanges] == [0, 2, 3, 4, 5, 6, 7]
    assert found.skipped == [Skip.NOT_AN_EXCHANGE] * 2
    first, broken, removed, hidden, without, blank, last = found.exchanges
    assert (first.event.id, first.exchange) == ("n0", Exchange("hello", "hi"))
    assert isinstance(last, Decoded), "an optional field that fails rejects no event"
    assert last.event.occurred_at is None
    assert str(broken.error) == "The item is broken."
    assert isinstance(removed.error, Redacted)
    assert isinstance(hidden.error, Redacted)
    assert isinstance(without.error, NotAnEvent)
    assert "finds no messages and no prompt (event.prompt: q; event.response: a)" in str(
        without.error
    )
    assert isinstance(blank.error, NothingToJudge)


@pytest.mark.parametrize("items", [None, []])
def test_a_record_without_elements_is_skipped(items):
    found = decode({"log": {"items": items}}, mapping=mapping(**LOG))
    assert not found.exchanges
    assert found.skipped == [Skip.NOT_AN_EXCHANGE]


def test_a_failure_names_the_place_in_the_mapping_and_no_value():
    found = decode({"a": ["secret"]}, mapping=mapping(event={"prompt": "abs(a)"}))
    (refused,) = found.exchanges
    assert refused.number is None
    assert str(refused.error) == (
        "Not an event: event.prompt of the mapping test fails on this record (JMESPathTypeError)."
    )


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ({"event": {"prompt": "a.["}}, "event.prompt: Invalid jmespath"),
        ({"event": {"id": "a"}}, "event: give messages or prompt"),
        ({"event": {"prompt": "a"}, "filter": "b"}, "filter: Extra inputs are not permitted"),
        ({}, "event: Field required"),
        ([], "the file: Input should be"),
        ({"event": {"prompt": "a", "id": "what()"}, "keep": ""}, "keep: String should have"),
    ],
)
def test_all_faults_of_a_file_are_in_one_sentence(tmp_path, file, said):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(file))
    with pytest.raises(WrongSetting, match=r"input\.mapping cannot be used:") as refused:
        load_mapping(str(path))
    assert said in str(refused.value)


def test_an_unknown_name_lists_the_presets():
    with pytest.raises(WrongSetting, match=r"no preset and no file openai-chatt; .*litellm"):
        load_mapping("openai-chatt")


def test_a_file_that_is_no_yaml(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("{")
    with pytest.raises(WrongSetting, match="not a readable YAML file"):
        load_mapping(str(path))


# every exchange of a conversation


def test_every_exchange_of_a_conversation():
    found = decode({"id": "c", "messages": CONVERSATION, "response": "third"}, judged="every")
    assert texts(found) == [(0, "one", "first"), (1, "two", "second"), (2, "three", "third")]
    assert [one.event.id for one in found.exchanges] == ["c#0", "c#1", "c#2"]


def test_the_last_of_every_exchange_is_the_one_that_is_judged_else():
    data = {"messages": CONVERSATION}
    (last,) = decode(data).exchanges
    assert decode(data, judged="every").exchanges[-1].exchange == last.exchange


def test_a_turn_that_cannot_be_read_refuses_its_own_exchange():
    messages = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": 7},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "second"},
    ]
    found = decode({"messages": messages}, judged="every")
    assert texts(found) == [(0, "NotAnEvent"), (1, "two", "second")]
    assert str(found.exchanges[0].error) == (
        "Not an event: messages.1.content is a number instead of text."
    )


@given(
    st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.sampled_from("xyz")), max_size=12)
)
def test_every_text_is_in_exactly_one_exchange(turns):
    messages = [{"role": r, "content": f"{t}{n}"} for n, (r, t) in enumerate(turns)]
    found = decode({"messages": messages}, judged="every")
    judged = [one.exchange for one in found.exchanges if isinstance(one, Decoded)]
    joined = [t for e in judged for t in (e.prompt, e.response) if t is not None]
    first = next((n for n, (r, _) in enumerate(turns) if r == "user"), len(turns))
    assert "\n\n".join(joined) == "\n\n".join(m["content"] for m in messages[first:])


def test_a_long_conversation_takes_linear_time():
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}] * 20_000
    found = decode({"messages": messages}, judged="every", max_exchanges=20_000)
    assert len(found.exchanges) == 20_000


@pytest.mark.parametrize("several", [{"judged": "every"}, {"mapping": mapping(**LOG)}])
def test_a_record_with_too_many_exchanges_is_refused_as_a_whole(several):
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}] * 1000
    items = [{"kind": "chat", "q": "a"}] * 1000
    fits = {"messages": turns, "log": {"items": items}}
    assert len(decode(fits, **several).exchanges) == 1000
    one_more = {"messages": turns + turns[:1], "log": {"items": items + items[:1]}}
    (refused,) = decode(one_more, **several).exchanges
    assert refused.number is None
    assert "more than 1000 exchanges" in str(refused.error)


def test_a_redriven_record_is_judged_for_the_exchanges_its_header_names():
    record = record_of_line("t", 7, orjson.dumps({"messages": CONVERSATION}), 0.0)
    headers = (("guardstream.exchanges", b"0,2"), ("guardstream.delivery.count", b"1"))
    redriven = dataclasses.replace(record, headers=headers)
    assert [one.number for one in EventDecoder(judged="every").decode(redriven).exchanges] == [0, 2]
    (only,) = EventDecoder().decode(redriven).exchanges
    assert only.number is None, "records of one exchange have no numbers"
    produced = dataclasses.replace(record, headers=headers[:1])
    assert len(EventDecoder(judged="every").decode(produced).exchanges) == 3


# selection


def test_a_filter_skips_and_a_share_is_of_conversations():
    keep = Selection(Expression("tenant == 'a'"), 1.0)
    assert decode({"prompt": "x", "tenant": "b"}, selection=keep).skipped == [Skip.FILTERED]
    assert decode({"prompt": "x", "tenant": "a"}, selection=keep).exchanges
    half = Selection(None, 0.5)

    def sampled(**event):
        return bool(decode({"prompt": "x", **event}, selection=half).exchanges)

    taken = [sampled(conversation_id=str(n), id=str(n + 1)) for n in range(2000)]
    assert 900 < sum(taken) < 1100
    assert taken == [sampled(conversation_id=str(n), user_id="u") for n in range(2000)]
    assert not decode({"prompt": "x"}, selection=Selection(None, 0.0)).exchanges


def test_a_filter_that_fails_refuses_the_event():
    keep = Selection(Expression("abs(id) > `1`"), 1.0)
    (refused,) = decode({"prompt": "x", "id": "a"}, selection=keep).exchanges
    assert str(refused.error) == "input.keep fails on this record (JMESPathTypeError)."


@given(st.sampled_from(presets()), JSON)
def test_no_value_raises_in_a_preset(name, data):
    for one in decode(data, mapping=load_mapping(name)).exchanges:
        assert isinstance(one, Decoded | Refused)
