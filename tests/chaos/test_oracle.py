import dataclasses

import pytest

from tests.chaos.oracle import Found, Given, redelivered, violations

GIVEN = [Given(0, n, kind, n, 100.0 + n) for n, kind in enumerate(["good", "good", "malformed"])]
VERDICTS = [Found(0, n, "", f"id-{n}", ("verdicts", 0), n, 101.0 + n) for n in range(2)]
LETTER = Found(0, 2, "NotAnEvent", "", ("dead", 0), 0, 103.0)
FOUND = [*VERDICTS, LETTER]
AGAIN = dataclasses.replace(VERDICTS[0], position=9, at=110.0)


def kinds(found, guarantee="exactly_once", given=GIVEN, acknowledged=()):
    broken = violations(given, found, guarantee=guarantee, acknowledged=dict(acknowledged))
    return sorted(violation.kind for violation in broken)


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_every_record_with_its_outcome_is_no_violation(guarantee):
    assert kinds(FOUND, guarantee, acknowledged={(0, 1): 1}) == []


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_a_record_without_an_outcome_is_lost(guarantee):
    assert kinds(FOUND[1:], guarantee) == ["lost"]


def test_a_loss_dates_from_when_its_successor_was_judged():
    late = dataclasses.replace(VERDICTS[1], at=150.0)
    (lost,) = violations(GIVEN, [late, LETTER], guarantee="exactly_once", acknowledged={})
    assert lost.at == 150.0


def test_a_repetition_is_a_violation_of_exactly_once_alone():
    assert kinds([*FOUND, AGAIN]) == ["duplicated", "out of order"]
    assert kinds([*FOUND, AGAIN], "at_least_once") == []
    assert redelivered([*FOUND, AGAIN]) == 1


def test_a_redelivery_keeps_its_verdict_id():
    renamed = dataclasses.replace(AGAIN, verdict_id="another")
    assert kinds([*FOUND, renamed], "at_least_once") == ["renamed"]


def test_a_good_record_is_buried_only_for_the_engines_failures():
    buried = dataclasses.replace(VERDICTS[0], error="RetriesSpent")
    assert kinds([buried, *FOUND[1:]]) == []
    buried = dataclasses.replace(VERDICTS[0], error="NotAnEvent")
    assert kinds([buried, *FOUND[1:]]) == ["wrongly judged"]


def test_a_bad_record_has_no_verdict_and_a_tombstone_no_outcome():
    judged = dataclasses.replace(LETTER, error="")
    assert kinds([*VERDICTS, judged]) == ["wrongly judged"]
    tombstone = dataclasses.replace(GIVEN[2], kind="tombstone")
    assert kinds(FOUND, given=[*GIVEN[:2], tombstone]) == ["wrongly judged"]
    assert kinds(VERDICTS, given=[*GIVEN[:2], tombstone]) == []


def test_an_outcome_of_nothing_is_invented():
    assert kinds(FOUND, given=GIVEN[:2]) == ["invented"]


def test_what_kafka_acknowledged_and_does_not_hold_is_told():
    assert kinds(FOUND, acknowledged={(0, 7): 7}) == ["unkept by Kafka"]
