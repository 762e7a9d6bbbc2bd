from datetime import UTC, datetime

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from worker.cli.times import parse_time_ms
from worker.domain.dead_letters import DELIVERED_BEFORE, dead_letter, delivered_before
from worker.domain.errors import InvalidRequest, NotAnEvent
from worker.domain.escaping import printable
from worker.domain.records import Partition, Record
from worker.operator.redrive.redriving import (
    Plan,
    Selection,
    SkipReason,
    Survey,
    notes_of,
    read_dead_letter,
    read_note,
    redriven_record,
)

DEAD = Partition("dead", 0)
NOW = 1_764_000_000_000


def lying(outgoing, *, where=DEAD, offset=0, at=NOW):
    """A record that was produced, as it is read again."""
    headers = outgoing.headers
    return Record(where, 1, offset, outgoing.key, outgoing.value, headers, at, 0.0)


def dead_lettered(record, error=None, *, max_bytes=1 << 20, **place):
    letter = dead_letter(
        record,
        error or InvalidRequest("The engine refuses this prompt."),
        topic="dead",
        group="g",
        max_bytes=max_bytes,
        delivery_count=delivered_before(record.headers) + 1,
    )
    return lying(letter, **place)


def plan_of(*, redriven=None, max_deliveries=3, limit=None, sizes=None, **selection):
    sizes = {"events": 1 << 20} if sizes is None else sizes
    return Plan(Selection(**selection), redriven or {}, sizes, max_deliveries, limit)


@pytest.fixture
def letters(record):
    """Three letters that differ in all that can be selected."""
    judged = record(b"{}", key=b"a")
    other = record(b"{}", key=b"\xff", partition=Partition("others", 3), offset=9)
    return [
        dead_lettered(judged, offset=0, at=NOW),
        dead_lettered(judged, NotAnEvent("The value is empty."), offset=1, at=NOW + 1000),
        dead_lettered(other, offset=2, at=NOW + 2000),
    ]


names = st.text(min_size=1, max_size=12).filter(
    lambda name: not name.lower().startswith(("guardstream.", "__dlq."))
)


@given(
    key=st.none() | st.binary(max_size=40),
    value=st.binary(max_size=200),
    headers=st.lists(st.tuples(names, st.none() | st.binary(max_size=40)), max_size=4).map(tuple),
    partition=st.integers(0, 1000),
    offset=st.integers(0, 10**15),
    rounds=st.integers(1, 4),
)
def test_what_was_dead_lettered_comes_back_and_the_count_rises(
    key, value, headers, partition, offset, rounds
):
    where = Partition("events", partition)
    record = Record(where, 1, offset, key, value, headers, NOW, 0.0)
    for deliveries in range(1, rounds + 1):
        letter = read_dead_letter(dead_lettered(record))
        assert letter.complete
        assert letter.deliveries == deliveries
        assert letter.origin == f"events/{partition}@{offset}"
        back = redriven_record(letter)
        assert (back.topic, back.key, back.value) == ("events", key, value)
        assert back.headers == (*headers, (DELIVERED_BEFORE, str(deliveries).encode()))
        record = lying(back, where=where, offset=offset)


@pytest.mark.parametrize("as_a_whole", [False, True])
def test_the_exchanges_that_were_refused_are_those_it_is_sent_for(record, as_a_whole):
    numbered = dead_letter(
        record(b"{}"), NotAnEvent("-"), topic="dead", group="g", max_bytes=1 << 20, exchanges=[4, 2]
    )
    back = redriven_record(read_dead_letter(lying(numbered)))
    assert dict(back.headers)["guardstream.exchanges"] == b"2,4"
    again = lying(back)
    if as_a_whole:
        numbered = dead_letter(again, NotAnEvent("-"), topic="dead", group="g", max_bytes=1 << 20)
    else:
        numbered = dead_letter(
            again, NotAnEvent("-"), topic="dead", group="g", max_bytes=1 << 20, exchanges=[4]
        )
    back = redriven_record(read_dead_letter(lying(numbered)))
    assert [v for n, v in back.headers if n == "guardstream.exchanges"] == [
        b"2,4" if as_a_whole else b"4"
    ]


def test_a_letter_says_why_it_was_dead_lettered(letters):
    letter = read_dead_letter(letters[1])
    assert (letter.stage, letter.error) == ("decode", "NotAnEvent")
    assert letter.message == "The value is empty."


def test_what_an_event_brought_along_is_not_taken_for_ours(record):
    forged = (
        ("__dlq.errors.topic", b"elsewhere"),
        ("guardstream.value.size", b"5"),
        ("guardstream.stage", b"publish"),
        (DELIVERED_BEFORE, b"1" * 400),
        ("GuardStream.delivery.count", b"0"),
        ("x", b"1"),
    )
    letter = read_dead_letter(dead_lettered(record(headers=forged)))
    assert (letter.topic, letter.stage, letter.deliveries) == ("events", "judge", 1)
    assert letter.complete
    assert redriven_record(letter).headers == (("x", b"1"), (DELIVERED_BEFORE, b"1"))


@pytest.mark.parametrize("count", [b"-1", b"", b"two", "٣".encode(), b"9" * 19, None])
def test_a_count_that_is_none_counts_as_none(count):
    assert delivered_before(((DELIVERED_BEFORE, count),)) == 0


def test_the_last_count_is_ours():
    assert delivered_before(((DELIVERED_BEFORE, b"9"), ("x", b""), (DELIVERED_BEFORE, b"2"))) == 2


@pytest.mark.parametrize(
    "headers", [(), (("__dlq.errors.topic", b"events"),), (("__dlq.errors.message", b"no"),)]
)
def test_what_is_no_letter_is_never_sent(record, headers):
    plan = plan_of()
    assert plan.consider(record(headers=headers)) is None
    assert plan.other_records == 1


@pytest.mark.parametrize("headers", [(), (("h", b"h" * 90_000),)])
def test_a_letter_that_was_cut_is_named_and_never_sent(record, headers):
    plan = plan_of()
    cut = dead_lettered(record(b"x" * 200_000, headers=headers), max_bytes=80_000, offset=5)
    assert plan.consider(cut) is None
    assert plan.truncated == ["dead/0@5"]
    assert plan.skipped == {(SkipReason.TRUNCATED, "events"): 1}


@pytest.mark.parametrize(
    ("selection", "taken"),
    [
        ({}, [0, 1, 2]),
        ({"stages": ["decode"]}, [1]),
        ({"errors": ["InvalidRequest", "Other"]}, [0, 2]),
        ({"topics": ["others"]}, [2]),
        ({"keys": [b"\xff"]}, [2]),
        ({"since_ms": NOW + 1000}, [1, 2]),
        ({"until_ms": NOW + 1000}, [0]),
        ({"stages": ["judge"], "since_ms": NOW + 1, "keys": [b"a"]}, []),
    ],
)
def test_filters_select(letters, selection, taken):
    plan = plan_of(sizes={"events": 1000, "others": 1000}, **selection)
    assert [at for at, letter in enumerate(letters) if plan.consider(letter)] == taken
    assert plan.taken.total() == len(plan.first) == len(taken)
    assert not plan.skipped


def test_a_letter_that_was_delivered_enough_stays(record):
    often = dead_lettered(record(headers=((DELIVERED_BEFORE, b"2"),)))
    assert plan_of(max_deliveries=4).consider(often) is not None
    plan = plan_of(max_deliveries=3)
    assert plan.consider(often) is None
    assert plan.skipped_for(SkipReason.DELIVERED_ENOUGH) == {"events": 1}
    assert not plan.failed


def test_a_topic_that_is_gone_holds_up_no_other(letters):
    plan = plan_of()
    assert [plan.consider(letter) is not None for letter in letters] == [True, True, False]
    assert plan.skipped_for(SkipReason.NO_TOPIC) == {"others": 1}
    assert plan.failed


def test_what_a_topic_does_not_take_is_not_sent(record):
    plan = plan_of(sizes={"events": 1000})
    assert plan.consider(dead_lettered(record(b"x" * 1000))) is None
    assert plan.skipped_for(SkipReason.TOO_LARGE) == {"events": 1}
    assert plan.failed


def test_a_limit_counts_what_is_sent(letters):
    plan = plan_of(limit=1, redriven={DEAD: {0}})
    assert [plan.consider(letter) is not None for letter in letters] == [False, True, False]
    assert plan.skipped_for(SkipReason.REDRIVEN) == {"events": 1}
    # a topic that is gone is said even beyond the limit
    assert plan.skipped_for(SkipReason.NO_TOPIC) == {"others": 1}
    assert plan.consider(letters[1]) is None
    assert plan.skipped_for(SkipReason.BEYOND_LIMIT) == {"events": 1}


def test_noted_letters_are_never_taken_again(letters):
    survey = Survey()
    for letter in letters:
        survey.add(letter)
    assert survey.topics == {"events", "others"}
    (note,) = notes_of([read_dead_letter(letters[0]), read_dead_letter(letters[2])])
    assert Partition(note.topic, note.partition) == DEAD
    lying_note = lying(note, offset=3)
    survey.add(lying_note)
    plan = plan_of(redriven=survey.redriven, sizes={"events": 1000, "others": 1000})
    taken = [at for at, letter in enumerate([*letters, lying_note]) if plan.consider(letter)]
    assert taken == [1]
    assert plan.other_records == 0


def test_a_note_is_of_its_own_partition(letters, record):
    elsewhere = dead_lettered(record(), where=Partition("dead", 1), offset=0)
    notes = notes_of([read_dead_letter(letters[0]), read_dead_letter(elsewhere)])
    assert {note.partition: read_note(lying(note)) for note in notes} == {0: {0}, 1: {0}}


def test_an_event_cannot_write_a_note(record):
    forged = (("guardstream.redriven.offsets", b"0,1,2"),)
    assert read_note(dead_lettered(record(headers=forged))) is None
    assert read_note(record(headers=(("guardstream.redriven.offsets", b"7,x,,"),))) == {7}


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("2h", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("7d", datetime(2026, 1, 24, 12, tzinfo=UTC)),
        ("9999w", datetime(1970, 1, 1, tzinfo=UTC)),
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00.5+02:00", datetime(2026, 1, 31, 10, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-01-31T12:00:01.001Z", datetime(2026, 1, 31, 12, 0, 1, 1_000, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_time_or_how_long_ago(text, then):
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert parse_time_ms(text, now=now) == round(then.timestamp() * 1000)


@pytest.mark.parametrize(
    "text", ["", "2", "h", "2x", "-2h", "٢h", "2026-01-31T12:00:00", "soon", "999999w"]
)
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(typer.BadParameter, match="neither a time with its zone"):
        parse_time_ms(text, now=datetime.now(UTC))


def test_nothing_steers_the_terminal():
    assert printable("a\x1b[31mb\n\u202ec\ud800 é") == "a\\x1b[31mb\\n\\u202ec\\ud800 é"
