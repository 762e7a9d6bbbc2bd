"""Records that hold several exchanges: judged apart, settled together."""

from functools import partial

import orjson
import pytest

from tests.unit.harness import INPUT, WorkerHarness
from tests.unit.test_mapping import mapping
from worker.decoding.decoder import EventDecoder
from worker.decoding.selection import Selection
from worker.domain.errors import EngineDead
from worker.domain.records import record_of_line
from worker.domain.verdict_records import read_verdict
from worker.flow.judging_all import judge_record
from worker.telemetry import names

BATCH = mapping(exchanges="items", keep="q", event={"id": "id", "prompt": "q", "response": "a"})


def batch(*prompts, name="i"):
    items = [{"id": f"{name}{n}", "q": q} for n, q in enumerate(prompts)]
    return orjson.dumps({"items": items})


@pytest.fixture(params=["at_least_once", "exactly_once"])
def build(request):
    return partial(
        WorkerHarness, request.param, drain_seconds=0.05, decoder=EventDecoder(mapping=BATCH)
    )


def verdicts(bus):
    return [read_verdict(orjson.loads(record.value)) for record in bus.topic("verdicts")]


def letters(bus):
    return [dict(record.headers) for record in bus.topic("dead")]


async def run(harness, committed):
    async with harness.running():
        await harness.until(lambda: harness.bus.committed.get(INPUT) == committed)
    assert harness.delivery.backlog(INPUT) == (0, 0)
    assert harness.pipeline.trouble() is None


async def test_each_exchange_has_its_verdict_under_its_number(build):
    harness = build()
    for n in range(8):
        harness.bus.append("events", value=batch(*["hello"] * 5, name=f"{n}-"), key=b"k")
    await run(harness, 8)
    found = verdicts(harness.bus)
    assert len(found) == 40
    assert {(v.source.offset, v.source.exchange) for v in found} == {
        (offset, number) for offset in range(8) for number in range(5)
    }
    assert len({v.verdict_id for v in found}) == 40
    assert {v.event_id for v in found} == {f"{n}-{i}" for n in range(8) for i in range(5)}
    assert harness.pipeline.outcomes == {"verdict": 8}


async def test_the_offset_waits_for_the_last_exchange(build):
    harness = build()
    harness.bus.append("events", value=batch("hello", "hello", "hello"))
    harness.hold()
    async with harness.running():
        await harness.until(lambda: harness.engine.running == 3)
        await harness.idle()
        assert not harness.bus.committed.get(INPUT)
        assert not harness.bus.topic("verdicts")
        harness.release()
        await harness.until(lambda: harness.bus.committed.get(INPUT) == 1)
    assert len(verdicts(harness.bus)) == 3


async def test_those_that_are_refused_share_a_dead_letter_that_names_them(build):
    harness = build()
    too_long = "hello " * 20_000
    harness.bus.append("events", value=batch("hello", too_long, "hello", " ", too_long))
    await run(harness, 1)
    assert [v.source.exchange for v in verdicts(harness.bus)] == [0, 2]
    (letter,) = letters(harness.bus)
    assert letter["guardstream.exchanges"] == b"1,3-4"
    assert letter["guardstream.error"] == b"PromptTooLong"
    assert letter["__dlq.errors.message"].startswith(
        b"3 of 5 exchanges cannot be judged, the first: The prompt exceeds"
    )
    assert harness.bus.topic("dead")[0].value == batch("hello", too_long, "hello", " ", too_long)


async def test_a_record_of_which_no_exchange_can_be_judged(build):
    harness = build()
    harness.bus.append("events", value=batch(" ", " "))
    await run(harness, 1)
    assert not verdicts(harness.bus)
    assert [letter["guardstream.exchanges"] for letter in letters(harness.bus)] == [b"0-1"]
    assert harness.pipeline.outcomes == {"dead_letter": 1}


async def test_what_is_redriven_is_judged_for_the_refused_exchanges_only(build):
    harness = build()
    value = batch("hello", "hello", "hello")
    headers = (("guardstream.exchanges", b"1"), ("guardstream.delivery.count", b"1"))
    harness.bus.append("events", value=value, headers=headers)
    await run(harness, 1)
    assert [v.source.exchange for v in verdicts(harness.bus)] == [1]


async def test_what_is_redriven_for_no_exchange_of_its_own_is_refused(build):
    harness = build()
    headers = (("guardstream.exchanges", b"3-9"), ("guardstream.delivery.count", b"1"))
    harness.bus.append("events", value=batch("hello", "hello"), headers=headers)
    await run(harness, 1)
    assert not verdicts(harness.bus)
    (letter,) = letters(harness.bus)
    assert letter["__dlq.errors.message"] == (
        b"The header guardstream.exchanges names no exchange of the record."
    )


async def test_a_verdict_that_is_too_large_joins_the_dead_letter(build):
    harness = build()
    harness.bus.append("events", value=batch("hello", " ", "hello"))
    harness.bus.refuses = lambda _: None
    produce = harness.bus.refusal

    def refuse(record):
        if record.topic == "verdicts" and orjson.loads(record.value)["source"]["exchange"] == 2:
            harness.bus.takes["verdicts"] = record.size_bytes - 1
        return produce(record)

    harness.bus.refusal = refuse
    await run(harness, 1)
    judged = {v.source.exchange for v in verdicts(harness.bus)}
    assert judged <= {0}
    # at least once may have written the first dead letter before the verdict was refused
    *earlier, last = [letter["guardstream.exchanges"] for letter in letters(harness.bus)]
    assert last == (b"1-2" if judged else b"0-2")
    assert not (earlier and harness.guarantee == "exactly_once")


async def test_an_engine_that_dies_ends_a_command_with_its_own_error():
    harness = WorkerHarness("at_least_once", decoder=EventDecoder(mapping=BATCH))
    harness.engine.dead = True
    record = record_of_line("t", 0, batch("hello", "hello", "hello"), 0.0)
    with pytest.raises(EngineDead):
        await judge_record(harness.judge, record)


async def test_what_is_skipped_moves_the_offset_and_is_counted():
    decoder = EventDecoder(mapping=BATCH, selection=Selection(None, 0.0))
    harness = WorkerHarness("at_least_once", decoder=decoder)
    harness.bus.append("events", value=orjson.dumps({"items": []}))
    harness.bus.append("events", value=batch("", "hello"))
    await run(harness, 2)
    assert not harness.bus.topic("verdicts")
    assert not harness.bus.topic("dead")
    assert harness.pipeline.outcomes == {"skipped": 2}
    counted = harness.telemetry._instruments.counter
    assert counted(names.SKIPPED, "not_an_exchange").value == 2
    assert counted(names.SKIPPED, "not_sampled").value == 1
    assert counted(names.OUTCOMES, "skipped").value == 2


async def test_a_partition_that_is_lost_half_way_is_judged_again_whole(build):
    harness = build()
    harness.bus.append("events", value=batch(*["hello"] * 9))
    harness.bus.append("events", value=batch("hello"))
    harness.hold()
    async with harness.running():
        await harness.until(lambda: harness.engine.running == 6)
        await harness.source.revoke([INPUT], lost=True)
        harness.release()
        await harness.until(lambda: not harness.engine.running)
        assert not harness.bus.topic("verdicts")
        await harness.source.assign([INPUT])
        await harness.until(lambda: harness.bus.committed.get(INPUT) == 2)
        await harness.until(lambda: harness.pipeline._admission.in_flight == 0)
        assert not harness.pipeline._admission._taken
    numbers = sorted((v.source.offset, v.source.exchange) for v in verdicts(harness.bus))
    assert numbers == [*((0, n) for n in range(9)), (1, 0)]
