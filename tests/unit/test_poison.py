"""Finding the record that kills its workers: the marks alone, and whole workers that die."""

import asyncio

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.harness import INPUT, WorkerHarness
from worker.adapters.memory import MemoryBus
from worker.delivery.suspect_window import SuspectWindow
from worker.domain.errors import EngineDead, Retriable
from worker.domain.poison import GROUP_RECORDS, PoisonMark, describe
from worker.domain.records import CommittedOffset, Partition

COUNTS = (st.integers(0, 4), st.integers(0, 5000), st.integers(0, 16))
MARKS = st.builds(PoisonMark, *COUNTS, st.booleans(), st.booleans())
WHOLE = {"deaths": 1, "suspects": 1, "alone": 0, "working": True, "begins": False}


@given(MARKS)
def test_a_mark_survives_kafka(mark):
    assert PoisonMark.decode(mark.encode()) == mark
    assert len(mark.encode()) < 200


@pytest.mark.parametrize(
    "metadata",
    [
        "",
        "committed by hand",
        "[]",
        "{}",
        '{"guardstream": 1}',
        '{"guardstream": {"deaths": 1}}',
        *(
            orjson.dumps({"guardstream": WHOLE | wrong}).decode()
            for wrong in ({"deaths": "1"}, {"deaths": True}, {"deaths": -1}, {"working": 1})
        ),
    ],
)
def test_what_another_program_wrote_is_no_death(metadata):
    assert PoisonMark.decode(metadata) == PoisonMark()


def test_a_released_partition_says_nothing():
    for mark in (PoisonMark(), PoisonMark(begins=True)):
        window = SuspectWindow(mark, 100)
        assert PoisonMark.decode(window.mark.encode()).working
        window.close()
        assert window.mark.encode() == ""


@given(MARKS, st.integers(0, 5000))
def test_only_an_owner_that_was_working_died(mark, reach):
    after = mark.after_death(reach)
    if not mark.working:
        assert after == mark
    else:
        assert after.deaths in (0, min(mark.deaths + 1, 4))


class Log:
    """A partition of one poison record, and workers that die over it."""

    def __init__(self, poison, records, commits_before_death):
        self.poison, self.records = poison, records
        self.committed, self.mark = 0, PoisonMark()
        self.deaths = 0
        self.condemned = []
        self._commits = commits_before_death

    def one_life(self, most):
        """What a worker does until it dies or all is done; True when all is done."""
        reach = min(self.records - self.committed, most)
        window = SuspectWindow(self.mark.after_death(reach), most)
        self.mark = window.mark
        position = self.committed
        while self.committed < self.records:
            if window.is_condemned:
                self.condemned.append(position)
                window.begin(position)
                position += 1
            elif window.wants_alone:
                window.suspect(begins=True)
                self.mark = window.mark
                window.begin(position)
                position += 1
            else:
                assert window.room > 0
                while window.room > 0 and position < self.records:
                    window.begin(position)
                    position += 1
            stands_at = self.committed
            begun = range(stands_at, position)
            if self.poison in begun and self.poison not in self.condemned:
                # what is before it may have been committed, or not
                self.commit(window, stands_at + (self.poison - stands_at) * (next(self._commits)))
                self.deaths += 1
                return False
            self.commit(window, position)
        window.close()
        self.mark = window.mark
        return True

    def commit(self, window, offset):
        if offset > self.committed:
            self.mark = window.mark_at(offset)
            window.pass_commit(offset)
            self.committed = offset


@given(
    st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))),
    st.integers(16, 400),
    st.lists(st.sampled_from([0, 1]), min_size=4, max_size=4),
)
def test_the_killer_alone_is_condemned_after_at_most_four_deaths(poison_of, most, commits):
    poison, records = poison_of
    log = Log(poison, records, iter(commits))
    for _ in range(5):
        if log.one_life(most):
            break
    assert log.condemned == [poison]
    assert log.deaths <= 4
    assert log.committed == records
    assert log.mark == PoisonMark()


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60), st.integers(1, 64))
def test_a_window_is_never_over_full(commits, most):
    window = SuspectWindow(PoisonMark(1, 1000), most)
    begun = committed = 0
    for passing in commits:
        while window.room > 0:
            window.begin(begun)
            begun += 1
        assert begun - committed <= GROUP_RECORDS
        committed = min(committed + passing, begun)
        window.pass_commit(committed)


def test_the_log_names_the_suspects():
    lines = [describe(PoisonMark(deaths, 3, 3), INPUT, 7) for deaths in (1, 2, 3, 4)]
    assert all("events/0@7" in line for line in lines)
    assert "dead-lettering" in lines[3]


@given(
    st.lists(st.booleans(), max_size=6),
    st.integers(20, 300).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))),
)
def test_deaths_of_other_causes_do_not_let_the_killer_go(strays, poison_of):
    """Another record, of another partition, may kill the same worker at any time."""
    poison, records = poison_of
    log = Log(poison, records, iter([0] * 20))
    for stray in strays:
        if log.one_life(400):
            break
        if stray and not log.condemned:
            window = SuspectWindow(log.mark.after_death(min(records - log.committed, 400)), 400)
            if window.wants_alone:
                window.suspect(begins=True)
            log.mark = window.mark
    while not log.one_life(400):
        assert log.deaths < 12
    assert poison in log.condemned
    assert log.committed == records


class DeadlyHarness(WorkerHarness):
    """A worker whose engine dies over one prompt, every time."""

    def __init__(self, guarantee, bus, poison="poison"):
        super().__init__(guarantee, bus=bus, drain_seconds=0.0)
        prepare = self.judge.prepare

        async def prepare_and_note(records):
            preparations = await prepare(records)
            for case in (one for preparation in preparations for one in preparation.exchanges):
                if getattr(case, "exchange", None) and case.exchange.prompt == poison:
                    case.prompt_token_ids[:] = [666]
            return preparations

        self.judge.prepare = prepare_and_note
        complete = self.engine.complete

        async def complete_or_die(request, prompt_token_ids, **arguments):
            if prompt_token_ids == [666]:
                raise EngineDead("The engine died of this prompt.")
            return await complete(request, prompt_token_ids, **arguments)

        self.engine.complete = complete_or_die


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
@pytest.mark.parametrize("at", [0, 7, 39, 59])
async def test_a_prompt_that_kills_each_worker_is_found(guarantee, at):
    bus = MemoryBus()
    for n in range(60):
        prompt = "poison" if n == at else "hello"
        bus.append("events", value=orjson.dumps({"id": str(n), "prompt": prompt}))
    deaths = 0
    for _ in range(6):
        worker = DeadlyHarness(guarantee, bus)
        running = asyncio.create_task(worker.pipeline.run())
        async with asyncio.timeout(20):
            while not running.done() and bus.committed.get(INPUT) != 60:
                await asyncio.sleep(0)
        if not running.done():
            worker.pipeline.stop()
            await running
            break
        with pytest.raises(EngineDead):
            await running
        deaths += 1
    assert deaths == 4
    letters = bus.topic("dead")
    assert [dict(r.headers)["guardstream.error"] for r in letters] == [b"PoisonRecord"]
    assert [orjson.loads(r.value)["id"] for r in letters] == [str(at)]
    judged = [orjson.loads(r.value)["event_id"] for r in bus.topic("verdicts")]
    assert set(judged) == {str(n) for n in range(60)} - {str(at)}
    if guarantee == "exactly_once":
        assert len(judged) == 59
    assert bus.metadata[INPUT] == ""


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_what_follows_a_death_by_chance_is_judged_as_ever(guarantee):
    bus = MemoryBus()
    first = WorkerHarness(guarantee, bus=bus, drain_seconds=0.0)
    first.send(40)
    first.hold()
    running = asyncio.create_task(first.pipeline.run())
    await first.until(lambda: first.engine.running)
    first.engine.dead = True
    first.release()
    with pytest.raises(EngineDead):
        await running
    second = WorkerHarness(guarantee, bus=bus)
    async with second.running():
        await second.until(lambda: bus.committed.get(INPUT) == 40)
        second.send(4, start=40)
        await second.until(lambda: bus.committed.get(INPUT) == 44)
        assert PoisonMark.decode(bus.metadata[INPUT]) == PoisonMark(working=True)
    assert set(first.judged()) == {str(n) for n in range(44)}
    assert bus.topic("dead") == []
    assert bus.metadata[INPUT] == ""


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_no_two_suspects_are_under_suspicion_at_once(guarantee):
    """Also where outcomes become durable only long after they are known."""
    bus = MemoryBus(partitions=3)
    harness = WorkerHarness(guarantee, bus=bus)
    partitions = [Partition("events", n) for n in range(3)]
    for partition in partitions:
        for _ in range(6):
            bus.append("events", value=b'{"prompt": "hello"}', partition=partition.number)
        bus.commit({partition: CommittedOffset(0, PoisonMark(2, 6, 5).encode())})
    publish, commit, most = harness.publisher.publish, bus.commit, []

    async def publish_late(records):
        for _ in range(200):
            await asyncio.sleep(0)
        return await publish(records)

    def commit_and_look(offsets):
        commit(offsets)
        marks = [PoisonMark.decode(bus.metadata[p]) for p in partitions]
        most.append(sum(mark.deaths >= 2 and mark.working for mark in marks))

    harness.publisher.publish, bus.commit = publish_late, commit_and_look
    async with harness.running():
        await harness.until(lambda: bus.committed == dict.fromkeys(partitions, 6))
    assert max(most) == 1
    assert bus.topic("dead") == []


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_a_bus_that_refuses_is_no_death(guarantee):
    harness = WorkerHarness(guarantee)
    harness.send(20)
    harness.refuse(30)
    async with harness.running():
        await harness.until(lambda: harness.bus.committed.get(INPUT) == 20)
        assert PoisonMark.decode(harness.bus.metadata[INPUT]).deaths == 0
    assert harness.bus.topic("dead") == []


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_a_mark_whose_commit_seemed_to_fail_is_no_death(guarantee):
    """The mark is stored, its acknowledgement is lost, and the session ends before the next try."""
    bus = MemoryBus()
    harness = WorkerHarness(guarantee, bus=bus)
    harness.send(3)
    bus.commit({INPUT: CommittedOffset(0, PoisonMark(3, 3, 3).encode())})
    commit, cut_off = bus.commit, []

    def commit_unacknowledged(offsets):
        mark = PoisonMark.decode(offsets[INPUT].metadata)
        if len(cut_off) < 2 and mark.deaths >= 2:
            if mark.working:
                commit(offsets)
                cut_off.append(asyncio.ensure_future(evict()))
            if cut_off:
                raise Retriable("No answer.")
        commit(offsets)

    async def evict():
        await harness.source.revoke([INPUT], lost=True)
        await harness.source.assign([INPUT])
        cut_off.append(None)

    bus.commit = commit_unacknowledged
    async with harness.running():
        await harness.until(lambda: bus.committed.get(INPUT) == 3)
    assert bus.topic("dead") == []
    assert set(harness.judged()) == {"0", "1", "2"}


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_a_worker_that_forgets_deaths_is_found_out(guarantee, monkeypatch):
    """The mutant: without the marks, the killer kills each worker that gets its partition."""
    monkeypatch.setattr(PoisonMark, "after_death", lambda self, _: type(self)())
    bus = MemoryBus()
    for n in range(20):
        prompt = "poison" if n == 7 else "hello"
        bus.append("events", value=orjson.dumps({"id": str(n), "prompt": prompt}))
    for _ in range(8):
        worker = DeadlyHarness(guarantee, bus)
        with pytest.raises(EngineDead):
            await worker.pipeline.run()
    assert bus.committed[INPUT] <= 7
    assert bus.topic("dead") == []
