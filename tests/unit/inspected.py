"""What the tests of inspection share: a record's outcomes, as they lie in the output topics."""

from tests.unit.clocks import QuickClock
from tests.unit.judges import build_judge
from worker.adapters.simulated import Behaviour, SimulatedEngine
from worker.domain.dead_letters import dead_letter
from worker.domain.errors import InvalidRequest
from worker.domain.records import Partition, Record
from worker.domain.verdict_records import verdict_record
from worker.operator.inspect.inspection import Place, RecordHistory, Search

VALUE = b'{"id": "e", "prompt": "hello", "response": "hi"}'


def judging(model="m", **behaviour):
    clock = QuickClock()
    return build_judge(
        SimulatedEngine(behaviour=Behaviour(**behaviour), clock=clock), clock, model=model
    )


def lying(outgoing, number, at=0, timestamp_ms=0):
    where = Partition(outgoing.topic, number)
    return Record(where, 0, at, outgoing.key, outgoing.value, outgoing.headers, timestamp_ms, 0.0)


async def verdict_of(record, *, model="m", **where):
    judge = judging(model)
    verdict = await judge.judge((await judge.prepare([record]))[0].exchanges[0])
    return lying(verdict_record(verdict, topic="verdicts", record=record), 0, **where)


def letter_of(record, *, max_bytes=1 << 20, **where):
    error = InvalidRequest("The engine refuses this prompt.")
    letter = dead_letter(record, error, topic="dead", group="g", max_bytes=max_bytes)
    return lying(letter, 0, **where)


def searched(meant, *, verdicts=(), letters=()):
    search = Search(meant)
    for one in verdicts:
        search.add_verdict(one)
    for one in letters:
        search.add_dead_letter(one)
    return search


def finding(record=None, outcomes=(), committed=None):
    place = Place(Partition("events", 0), 3)
    missing = None if record else "It is gone."
    return RecordHistory(place, record, missing, committed, tuple(outcomes))
