"""Which outcomes are a record's, and what is made of it again."""

import orjson
import pytest

from tests.unit.inspected import VALUE, finding, judging, letter_of, searched, verdict_of
from worker.decoding.decoder import EventDecoder
from worker.domain.errors import NotAnEvent, RecordError
from worker.domain.records import Partition, Record
from worker.guards.guardreasoner.guard import GuardReasoner
from worker.guards.guardreasoner.prompt import render
from worker.operator.inspect.inspection import (
    Place,
    PublishedDeadLetter,
    PublishedVerdict,
    Rejudged,
    decode,
    judge_again,
    read_place,
)
from worker.operator.redrive.redriving import REDRIVEN_OFFSETS
from worker.telemetry.tracing import trace_id


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("chat-events/0@41", Place(Partition("chat-events", 0), 41)),
        ("a.b_c/12/3", Place(Partition("a.b_c", 12), 3)),
        ("chat-events-0-41", None),
        ("a/b/0@1", None),
        ("a/0@-1", None),
        ("a/0@1 ", None),
        ("a/\u0663@1", None),
        ("a/0@" + "9" * 19, None),
        ("", None),
    ],
)
def test_places(text, place):
    assert read_place(text) == place


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ((("traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"),), "a" * 32),
        ((("traceparent", b"00-" + b"a" * 31 + b"-" + b"b" * 16 + b"-01"),), None),
        ((("traceparent", None),), None),
        ((("traceparent", b"\xff\x1b"),), None),
        ((), None),
    ],
)
def test_trace_ids(headers, found):
    assert trace_id(headers) == found


async def test_outcomes_of_a_place(record):
    mine, other = record(VALUE, offset=1), record(VALUE, offset=2)
    place = Place(mine.partition, 1)
    verdicts = [
        await verdict_of(mine, at=5, timestamp_ms=30),
        await verdict_of(mine, at=6, timestamp_ms=40),
        await verdict_of(mine, model="another", at=7, timestamp_ms=50),
        await verdict_of(other, at=8),
        record(b"?"),
        record(b'{"verdict_id": "x"}'),
        record(None),
    ]
    letters = [letter_of(mine, at=3, timestamp_ms=20), letter_of(other, at=4), record(b"?")]
    search = searched(place, verdicts=verdicts, letters=letters)
    assert search.sources == [place]
    outcomes = search.outcomes(place)
    assert [str(outcome.record) for outcome in outcomes] == [
        "dead/0@3",
        "verdicts/0@5",
        "verdicts/0@6",
        "verdicts/0@7",
    ]
    repeats = [str(one.repeats) for one in outcomes[1:]]
    assert repeats == ["None", "verdicts/0@5", "None"]


async def test_outcomes_of_an_event_stand_by_their_records(record):
    first, again = record(VALUE, offset=1), record(VALUE, offset=9)
    other = record(VALUE.replace(b'"e"', b'"f"'), offset=2)
    search = searched(
        "e",
        verdicts=[
            await verdict_of(again, timestamp_ms=10),
            await verdict_of(first, timestamp_ms=20),
            await verdict_of(other, timestamp_ms=5),
        ],
        letters=[letter_of(again, timestamp_ms=40)],
    )
    assert [place.offset for place in search.sources] == [9, 1]
    kinds = [type(outcome) for outcome in search.outcomes(search.sources[0])]
    assert kinds == [PublishedVerdict, PublishedDeadLetter]


async def test_a_verdict_of_the_id_is_told_by_its_header_alone(record):
    found = await verdict_of(record(VALUE))
    unheaded = Record(found.partition, 0, 0, None, found.value, (), 0, 0.0)
    assert searched("e", verdicts=[unheaded]).sources == []
    assert searched("e", verdicts=[found]).sources != []


@pytest.mark.parametrize(
    ("value", "headers", "name"),
    [
        (VALUE, (), "e"),
        (b'{"id": "e", "prompt": 1}', (), "e"),
        (b'{"prompt": "hello"}', (), "events-0-0"),
        (b"not json", (), "events-0-0"),
        (b'{"id": ""}', (), "events-0-0"),
        (b'{"specversion": "1.0", "id": "c", "data": {"prompt": 1}}', (), "c"),
        (b'{"specversion": "1.0", "id": "c", "data": {"id": "e", "prompt": 1}}', (), "e"),
        (b'{"specversion": "1.0", "id": "c", "data": {"prompt": "hello"}}', (), "c"),
        (b'{"prompt": "a"}', (("ce_specversion", b"1.0"), ("ce_id", b"c")), "c"),
        (b'{"data": {"id": "x"}}', (), "events-0-0"),
        (b"", (), "events-0-0"),
    ],
)
def test_what_a_dead_lettered_event_is_called(record, value, headers, name):
    letter = letter_of(record(value, headers=headers))
    assert searched(name, letters=[letter]).sources == [Place(Partition("events", 0), 0)]
    assert searched("another", letters=[letter]).sources == []


def test_a_letter_that_was_sent_back_says_so(record):
    letters = [letter_of(record(VALUE), at=4), letter_of(record(VALUE), at=5)]
    note = record(b"", partition=Partition("dead", 0), headers=((REDRIVEN_OFFSETS, b"5"),))
    place = Place(Partition("events", 0), 0)
    search = searched(place, letters=[*letters, note])
    assert [outcome.sent_back for outcome in search.outcomes(place)] == [False, True]


@pytest.mark.parametrize(("committed", "passed"), [(None, False), (3, False), (4, True)])
def test_committed_is_what_the_group_goes_on_behind(committed, passed):
    assert finding(committed=committed).is_committed is passed


def test_a_whole_letter_stands_for_a_record_that_is_gone(record):
    headers = (("x", b"1"),)
    gone = record(VALUE, offset=3, headers=headers)
    place = Place(gone.partition, 3)

    def kept(letter):
        return finding(outcomes=searched(place, letters=[letter]).outcomes(place)).original

    original = kept(letter_of(gone, at=8))
    assert (str(original), original.value, original.headers) == ("events/0@3", VALUE, headers)
    assert kept(letter_of(record(b"x" * 9000, offset=3), max_bytes=4000)) is None
    assert finding(record=gone).original is gone


async def test_a_verdict_on_what_stood_there_before_is_told(record):
    mine = record(VALUE, offset=3)
    place = Place(mine.partition, 3)
    (published,) = searched(place, verdicts=[await verdict_of(mine)]).outcomes(place)
    assert finding(record=mine).is_of_this_record(published)
    assert not finding(record=record(VALUE, timestamp_ms=1)).is_of_this_record(published)
    assert finding().is_of_this_record(published)


def test_decoding_gives_the_prompt_or_says_why_not(record):
    guard, decoder = GuardReasoner(), EventDecoder()
    assert decode(record(VALUE), guard, decoder).prompt == render("hello", "hi").text
    with pytest.raises(RecordError):
        decode(record(b'{"id": "e"}'), guard, decoder)
    with pytest.raises(NotAnEvent, match="so it is"):
        decode(record(VALUE, unreadable="so it is"), guard, decoder)


async def test_asking_anew_keeps_the_completion_and_compares(record):
    asked = await judge_again(judging(), record(VALUE))
    assert isinstance(asked, Rejudged)
    ((completion,), (spans,)) = asked.completions, asked.spans
    labels = [m for m in spans if m.kind == "label"]
    assert [completion.text[m.start : m.end] for m in labels] == [
        asked.verdict.prompt_harmfulness.label,
        asked.verdict.response_refusal.label,
        asked.verdict.response_harmfulness.label,
    ]
    place = Place(Partition("events", 0), 0)
    published = await verdict_of(record(VALUE))
    (same,) = searched(place, verdicts=[published]).outcomes(place)
    assert not list(asked.disagreements(same.verdict))
    document = orjson.loads(published.value)
    now = document["prompt_harmfulness"]["label"]
    document["prompt_harmfulness"]["label"] = None
    changed = record(orjson.dumps(document))
    (other,) = searched(place, verdicts=[changed]).outcomes(place)
    assert list(asked.disagreements(other.verdict)) == [("prompt_harmfulness", None, now)]


@pytest.mark.parametrize(("value", "behaviour"), [(b"?", {}), (VALUE, {"refusal_rate": 1.0})])
async def test_asking_anew_says_why_there_is_no_answer(record, value, behaviour):
    said = await judge_again(judging(**behaviour), record(value))
    assert isinstance(said, RecordError)
