import dataclasses

import orjson
import pytest

from tests.chaos import alone
from tests.chaos.exchanges import EXCHANGES, conversation, prompt_tokens
from tests.chaos.oracle import Found, Given, redelivered, violations
from tests.chaos.oracle_of_decisions import undecided
from tests.chaos.poisoned import KILLS_ENGINE, KILLS_PROCESS, MARKERS
from tests.chaos.policies import FoundDecision
from worker.decoding.decoder import EventDecoder
from worker.domain.records import record_of_line

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


def test_a_good_record_is_dead_lettered_only_for_the_engines_failures():
    dead_lettered = dataclasses.replace(VERDICTS[0], error="RetriesSpent")
    assert kinds([dead_lettered, *FOUND[1:]]) == []
    dead_lettered = dataclasses.replace(VERDICTS[0], error="NotAnEvent")
    assert kinds([dead_lettered, *FOUND[1:]]) == ["wrongly judged"]


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


def outcome_of(kind, error="", prompt_tokens=None, expected_tokens=None, guarantee="exactly_once"):
    given = [Given(0, 0, kind, 0, 100.0, expected_tokens)]
    found = [Found(0, 0, error, "", ("out", 0), 0, 101.0, prompt_tokens)]
    return kinds(found, guarantee, given)


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
@pytest.mark.parametrize("kind", MARKERS)
def test_a_poison_record_is_one_dead_letter_that_says_so(kind, guarantee):
    assert outcome_of(kind, "PoisonRecord", guarantee=guarantee) == []
    assert outcome_of(kind, "", guarantee=guarantee) == ["wrongly judged"]
    assert outcome_of(kind, "RetriesSpent", guarantee=guarantee) == ["wrongly judged"]
    assert kinds([], guarantee, [Given(0, 0, kind, 0, 100.0)]) == ["lost"]


def test_an_engine_restarted_in_place_finds_its_killer_alone():
    assert outcome_of(KILLS_ENGINE, "EngineKiller") == []
    assert outcome_of(KILLS_PROCESS, "EngineKiller") == ["wrongly judged"]


def test_a_good_record_is_never_poison():
    assert outcome_of("good", "PoisonRecord") == ["wrongly judged"]
    assert outcome_of("good", "EngineKiller") == ["wrongly judged"]


def test_a_verdict_on_less_or_more_than_the_exchange_is_half_judged():
    assert outcome_of("two user messages", prompt_tokens=90, expected_tokens=90) == []
    assert outcome_of("two user messages", prompt_tokens=70, expected_tokens=90) == ["half judged"]
    assert outcome_of("good", prompt_tokens=91, expected_tokens=90) == ["half judged"]


def test_an_aborted_record_has_no_outcome():
    assert outcome_of("in an aborted transaction") == ["wrongly judged"]
    assert kinds([], given=[Given(0, 0, "in an aborted transaction", 0, 100.0)]) == []


@pytest.mark.parametrize("kind", EXCHANGES)
@pytest.mark.parametrize("number", [6, 7])
async def test_every_part_of_an_exchange_counts(kind, number):
    whole = conversation(kind, number)
    turns = [turn["content"] for turn in whole.event["messages"] if turn["content"]]
    turns += [whole.event["response"]] if "response" in whole.event else []
    judged = f"{whole.prompt}\n\n{whole.response}".split("\n\n")
    assert set(judged) <= set(turns)
    prompt, response = whole.prompt, whole.response
    parts = [("\n\n".join(prompt.split("\n\n")[1:]), response)]
    answers = response.split("\n\n")
    parts += [(prompt, "\n\n".join(answers[:n] + answers[n + 1 :])) for n in range(len(answers))]
    count, *fewer = await prompt_tokens([(prompt, response), *parts])
    assert all(less < count for less in fewer)


@pytest.mark.parametrize("kind", EXCHANGES)
@pytest.mark.parametrize("number", [6, 7])
def test_the_exchanges_of_a_conversation_are_those_that_are_judged(kind, number):
    whole = conversation(kind, number)
    record = record_of_line("t", 0, orjson.dumps(whole.event), 0.0)
    found = EventDecoder(judged="every").decode(record).exchanges
    told = [(one.exchange.prompt, one.exchange.response) for one in found]
    assert told == [*whole.earlier, (whole.prompt, whole.response)]


EVERY = [Given(0, 0, "long conversation", 0, 100.0, None, n) for n in range(3)]
EACH = [Found(0, 0, "", f"id-{n}", ("verdicts", 0), n, 101.0, None, n) for n in range(3)]


def test_each_exchange_has_an_outcome_of_its_own():
    assert kinds(EACH, given=EVERY) == []
    assert kinds(EACH[:2], given=EVERY) == ["lost"]
    assert kinds([*EACH, EACH[1]], given=EVERY) == ["duplicated"]
    beyond = dataclasses.replace(EACH[1], exchange=3)
    assert kinds([*EACH, beyond], given=EVERY) == ["invented"]
    # a dead letter of the record as a whole is one of each exchange
    letter = dataclasses.replace(EACH[0], error="PoisonRecord", verdict_id="", exchange=None)
    assert kinds([letter], given=EVERY) == ["wrongly judged"] * 3
    poison = [dataclasses.replace(one, kind=KILLS_PROCESS) for one in EVERY]
    assert kinds([letter], given=poison) == []


def test_a_record_that_the_harness_made_look_like_poison_is_excused():
    condemned = dataclasses.replace(VERDICTS[0], error="PoisonRecord")
    found = [condemned, *FOUND[1:]]
    assert kinds(found) == ["wrongly judged"]
    excused = violations(GIVEN, found, guarantee="exactly_once", acknowledged={}, excused={(0, 0)})
    assert excused == []
    # a verdict that another poison record's excuse would hide
    assert kinds([dataclasses.replace(condemned, error="NotAnEvent"), *FOUND[1:]]) != []


def test_only_what_no_poison_record_ended_is_excused():
    log = "".join(
        f"{what}\t{partition}\t{offset}\t{pid}\n"
        for what, partition, offset, pid in [
            ("begun", 0, 5, 11),
            ("begun", 0, 5, 12),
            ("begun", 1, 6, 13),
            ("done", 1, 6, 13),
            ("begun", 1, 6, 14),
            ("begun", 2, 7, 15),
            ("begun", 2, 7, 16),
        ]
    )
    assert alone.unfinished(log) == {(0, 5): [11, 12], (1, 6): [14], (2, 7): [15, 16]}
    assert alone.excused(log, {16}) == {(0, 5)}


DECIDED = [dataclasses.replace(one, action="log") for one in VERDICTS]
DECISIONS = [
    FoundDecision(one.verdict_id, "log", "log", "log", True, ("decisions", 0), n, one.at)
    for n, one in enumerate(DECIDED)
]
OTHER = dataclasses.replace(DECISIONS[0], action="block", header="block", expected="block")


def faults(found=DECIDED, decisions=DECISIONS, guarantee="exactly_once"):
    return [one.kind for one in undecided(found, decisions, guarantee=guarantee)]


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_every_verdict_has_its_decision(guarantee):
    assert faults(guarantee=guarantee) == []
    assert faults(decisions=DECISIONS[1:], guarantee=guarantee) == ["undecided"]
    assert faults(DECIDED[1:], guarantee=guarantee) == ["decided on nothing"]
    otherwise = [OTHER, DECISIONS[1]]
    assert faults(decisions=otherwise, guarantee=guarantee) == ["decided otherwise"]
    for wrong in ({"expected": "block"}, {"header": "block"}, {"is_named_well": False}):
        one = dataclasses.replace(DECISIONS[0], **wrong)
        assert faults(decisions=[one, DECISIONS[1]], guarantee=guarantee) == ["wrongly decided"]


def test_a_second_decision_is_a_violation_of_exactly_once_alone():
    assert faults(decisions=[*DECISIONS, DECISIONS[0]]) == ["decided again"]
    assert faults(decisions=[*DECISIONS, DECISIONS[0]], guarantee="at_least_once") == []
    # judged again after the policy has changed, and what the first worker left is not complete
    again = [*DECIDED, dataclasses.replace(DECIDED[0], action="block")]
    assert faults(again, [OTHER, DECISIONS[1]], "at_least_once") == []
    assert faults(again, [OTHER, DECISIONS[1]]) == ["decided again"]


def test_a_dead_letter_has_an_action():
    assert faults([*DECIDED, LETTER]) == ["without an action"]
    assert faults([*DECIDED, dataclasses.replace(LETTER, action="review")]) == []


def test_a_record_whose_second_delivery_was_refused_may_have_a_verdict_without_a_decision():
    first = DECIDED[0]
    letter = dataclasses.replace(first, error="JudgingTimedOut", verdict_id="", action="review")
    found = [*DECIDED, letter]
    assert faults(found, DECISIONS[1:], "at_least_once") == []
    assert faults(found, DECISIONS[1:]) == ["undecided"]
    elsewhere = dataclasses.replace(letter, offset=first.offset + 1_000)
    assert faults([*DECIDED, elsewhere], DECISIONS[1:], "at_least_once") == ["undecided"]
