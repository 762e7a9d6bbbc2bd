"""What a group has committed, against brokers that answer with errors.

The answers are bytes as on the wire, and aiokafka's own `committed` is there to be asked too: its
code runs against the same answers.
"""

import asyncio
from dataclasses import replace
from io import BytesIO

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import GroupAuthorizationFailedError, KafkaConnectionError

from worker.adapters.kafka import committed as adapter
from worker.adapters.kafka import starting_offsets
from worker.adapters.kafka.committed import fetch_committed
from worker.adapters.kafka.connection import Connection
from worker.adapters.kafka.source import KafkaSource
from worker.delivery.suspect_window import SuspectWindow
from worker.domain.errors import BusUnavailable, OffsetLost, Retriable
from worker.domain.poison import BEGINS, PoisonMark
from worker.domain.records import CommittedOffset, Partition

FIRST, SECOND = Partition("events", 0), Partition("events", 1)
LOADING, NOT_AVAILABLE, NOT_COORDINATOR, UNSTABLE = 14, 15, 16, 88
ERRORS = [-1, 3, 7, LOADING, NOT_AVAILABLE, NOT_COORDINATOR, UNSTABLE, 9999]


class Group:
    """A group's coordinator: what is committed, and errors that come before the right answer."""

    def __init__(self, version=7, **commits):
        self.commits = {Partition("events", int(n[1:])): at for n, at in commits.items()}
        self.version = version
        self.answers = []  # of the next requests, before the right one
        self.requests = []
        self.lookups = 0
        # what aiokafka's coordinator has, as far as its own `committed` needs it
        self.group_id = "g"
        self.coordinator_id = None
        self._retry_backoff_ms = 1

    async def ensure_coordinator_known(self):
        if self.coordinator_id is None:
            self.coordinator_id = 1
            self.lookups += 1

    def coordinator_dead(self):
        self.coordinator_id = None

    async def _send_req(self, request):
        await asyncio.sleep(0)
        struct = request.prepare({9: (1, self.version)})
        self.requests.append(struct)
        answer = self.answers.pop(0) if self.answers else {}
        if isinstance(answer, Exception):
            raise answer
        return self._response(struct, **answer)

    def _response(self, struct, top=0, of_partition=0, leaves_out=()):
        """As a broker does: with an error of the whole response it names no partition."""
        is_new = struct.API_VERSION > 3
        wanted = [(t, n) for t, ns, *_ in struct.topics for n in ns if (t, n) not in leaves_out]
        partitions = []
        for where in wanted:
            offset, note = self.commits.get(where, (-1, ""))
            offset, note = (-1, "") if of_partition else (offset, note)
            rest = (note, of_partition)
            middle = (-1,) if is_new else ()
            partitions.append((where[1], offset, *middle, *rest, *(({},) if is_new else ())))
        topics = [] if top else [("events", partitions, *(({},) if is_new else ()))]
        given = struct.RESPONSE_TYPE(*(0, topics, top, *(({},) if is_new else ())))
        return struct.RESPONSE_TYPE.decode(BytesIO(given.encode()))

    _do_fetch_commit_offsets = GroupCoordinator._do_fetch_commit_offsets
    fetch_committed_offsets = GroupCoordinator.fetch_committed_offsets


class Consumer:
    """A consumer of that group."""

    def __init__(self, group, partitions=2):
        self._coordinator = group
        self.partitions = set(range(partitions))
        self.at = {}
        self.ends = {"earliest": 0, "latest": 100}

    async def committed(self, theirs):
        found = await self._coordinator.fetch_committed_offsets([theirs])
        return found[theirs].offset if theirs in found else None

    def partitions_for_topic(self, _):
        return self.partitions

    async def beginning_offsets(self, theirs):
        return {p: self.ends["earliest"] for p in theirs if self.ends["earliest"] is not None}

    async def end_offsets(self, theirs):
        return {p: self.ends["latest"] for p in theirs if self.ends["latest"] is not None}

    def seek(self, theirs, offset):
        self.at[theirs] = offset

    async def commit(self, _):
        pass


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(adapter, "_BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(starting_offsets, "_CALL_SECONDS", 0.15)


def source_of(group, **arguments):
    source = KafkaSource(Connection("nowhere:9092"), topics=["events"], group_id="g", **arguments)
    source._consumer = Consumer(group)
    return source


async def rewind(source, partition):
    """Go on where the group goes on, as an owner does."""
    located = await source.locate(partition)
    source.seek(partition, located.offset)
    return located.offset


def position(source, partition=FIRST):
    return source._consumer.at.get(TopicPartition(*partition))


async def ask(group, partitions=(FIRST,), **arguments):
    return await fetch_committed(Consumer(group), "g", partitions, seconds=0.3, **arguments)


@pytest.mark.parametrize("version", [3, 7])
async def test_offset_and_note_are_those_of_the_commit(version):
    group = Group(version, p0=(7, "a note"), p2=(0, ""))
    third = Partition("events", 2)
    found = await ask(group, [FIRST, SECOND, third])
    assert found == {
        FIRST: CommittedOffset(7, "a note"),
        SECOND: None,
        third: CommittedOffset(0, ""),
    }
    assert [request.API_VERSION for request in group.requests] == [version]


@pytest.mark.parametrize("stable", [True, False])
async def test_stable_offsets_are_asked_for_where_the_broker_can(stable):
    group = Group(p0=(7, ""))
    await ask(group, stable=stable)
    assert group.requests[0].require_stable is stable


@pytest.mark.parametrize("start_from", ["earliest", "latest"])
@pytest.mark.parametrize("where", ["top", "of_partition"])
@pytest.mark.parametrize("code", ERRORS)
@pytest.mark.parametrize("version", [3, 7])
async def test_an_answer_with_an_error_is_never_taken_for_no_commit(
    version, code, where, start_from
):
    group = Group(version, p0=(7, ""))
    group.answers = [{where: code}, {where: code}]
    source = source_of(group, start_from=start_from)
    assert await rewind(source, FIRST) == 7
    assert position(source) == 7


@pytest.mark.parametrize("where", ["top", "of_partition"])
@pytest.mark.parametrize("code", ERRORS)
async def test_an_error_that_stays_leaves_the_partition_where_it_is(code, where):
    group = Group(p0=(7, ""))
    group.answers = [{where: code}] * 1000
    source = source_of(group)
    with pytest.raises(Retriable, match="events/0 could not be loaded"):
        await rewind(source, FIRST)
    assert position(source) is None


@pytest.mark.parametrize("code", [NOT_AVAILABLE, NOT_COORDINATOR])
async def test_another_coordinator_is_looked_up_when_the_asked_broker_is_none(code):
    group = Group(p0=(7, ""))
    group.answers = [{"top": code}] * 3
    await ask(group)
    assert group.lookups == 4


async def test_a_coordinator_that_is_loading_stays_the_coordinator():
    group = Group(p0=(7, ""))
    group.answers = [{"top": LOADING}] * 3
    await ask(group)
    assert group.lookups == 1


async def test_a_response_that_leaves_the_partition_out_says_nothing_of_it():
    group = Group(p0=(7, ""), p1=(8, ""))
    group.answers = [{"leaves_out": (SECOND,)}]
    assert (await ask(group, [FIRST, SECOND]))[SECOND] == CommittedOffset(8, "")


async def test_a_broker_that_cannot_be_reached_is_asked_again():
    group = Group(p0=(7, ""))
    group.answers = [KafkaConnectionError("gone"), KafkaConnectionError("gone")]
    assert await ask(group) == {FIRST: CommittedOffset(7, "")}


@pytest.mark.parametrize(
    "answer", [{"top": 30}, {"of_partition": 29}, GroupAuthorizationFailedError("g")]
)
async def test_a_missing_right_is_said_and_not_tried_again(answer):
    group = Group(p0=(7, ""))
    group.answers = [answer]
    with pytest.raises(BusUnavailable, match=r"offsets of group g .*(AUTHORIZATION|Authorization)"):
        await rewind(source_of(group), FIRST)
    assert len(group.requests) == 1


async def test_the_last_error_is_said():
    group = Group(p0=(7, ""))
    group.answers = [{"top": NOT_COORDINATOR}] * 1000
    with pytest.raises(Retriable, match="NOT_COORDINATOR"):
        await ask(group)


@pytest.mark.parametrize("where", ["top", "of_partition"])
@pytest.mark.parametrize("code", ERRORS)
async def test_only_a_believed_answer_makes_a_group_new(code, where):
    """Partition 1 was committed, so partition 0 was added since: it begins at its start."""
    group = Group(p1=(7, ""))
    # the partition itself, and then all of its topic
    group.answers = [{}, {where: code}, {where: code}, {where: code}]
    source = source_of(group, start_from="latest")
    await rewind(source, FIRST)
    assert position(source) == 0


async def test_a_new_group_begins_at_the_latest_if_told_to():
    source = source_of(Group(), start_from="latest")
    await rewind(source, FIRST)
    assert position(source) == 100


async def test_workers_that_begin_together_make_a_group_new_for_each_other():
    """The other one has marked its partition already; nothing has been judged."""
    window = SuspectWindow(PoisonMark.decode(BEGINS), 100)
    source = source_of(Group(p1=(100, window.mark.encode())), start_from="latest")
    await rewind(source, FIRST)
    assert position(source) == 100
    # a partition that is added to a group at work begins at its start
    window.begin(100)
    for later in (window.mark_at(101), replace(window.mark, begins=False)):
        source = source_of(Group(p1=(101, later.encode())), start_from="latest")
        await rewind(source, FIRST)
        assert position(source) == 0


async def test_metadata_with_an_error_does_not_turn_latest_into_earliest():
    source = source_of(Group(), start_from="latest")
    source._consumer.partitions = None
    with pytest.raises(Retriable, match="partitions of events"):
        await rewind(source, FIRST)
    source._consumer.partitions = {0, 1}
    await rewind(source, FIRST)
    assert position(source) == 100


@pytest.mark.parametrize("nothing", [None, -1])
@pytest.mark.parametrize("start_from", ["earliest", "latest"])
async def test_an_end_that_is_not_reported_is_tried_again(start_from, nothing):
    source = source_of(Group(), start_from=start_from)
    source._consumer.ends = dict.fromkeys(("earliest", "latest"), nothing)
    with pytest.raises(Retriable, match=f"{start_from} offset of events/0"):
        await rewind(source, FIRST)
    assert position(source) is None


@pytest.mark.parametrize("learnt", ["fetched", "committed"])
async def test_a_commit_that_is_gone_does_not_send_the_partition_to_start_from(learnt):
    group = Group(p0=(7, ""))
    source = source_of(group)
    if learnt == "fetched":
        await rewind(source, FIRST)
    else:
        await source.commit({FIRST: CommittedOffset(7)})
    group.commits.clear()
    for _ in range(3):
        with pytest.raises(Retriable, match="last seen at 7"):
            await rewind(source, FIRST)
    with pytest.raises(OffsetLost, match=r"input\.on_offset_lost"):
        await rewind(source, FIRST)
    assert position(source) in (7, None)


async def test_a_commit_that_is_gone_for_a_moment_is_forgotten_about():
    group = Group(p0=(7, ""))
    source = source_of(group)
    await rewind(source, FIRST)
    for _ in range(5):
        group.commits.clear()
        with pytest.raises(Retriable):
            await rewind(source, FIRST)
        group.commits[FIRST] = (7, "")
        assert await rewind(source, FIRST) == 7


@pytest.mark.parametrize(("end", "offset"), [("earliest", 0), ("latest", 100)])
async def test_a_commit_that_is_gone_goes_on_where_the_setting_says(end, offset):
    group = Group(p0=(7, ""))
    source = source_of(group, on_offset_lost=end, start_from="earliest")
    await rewind(source, FIRST)
    group.commits.clear()
    for _ in range(3):
        with pytest.raises(Retriable):
            await rewind(source, FIRST)
    await rewind(source, FIRST)
    assert position(source) == offset
