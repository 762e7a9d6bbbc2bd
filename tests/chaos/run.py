"""One run: a cluster, workers, a feed, faults, and afterwards the count."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from tests.chaos import evidence
from tests.chaos.cluster import MAX_RECORD_BYTES, SESSION_SECONDS, Cluster
from tests.chaos.faults import WEIGHTS, Mayhem, Planned, plan
from tests.chaos.feed import Feed
from tests.chaos.network import TROUBLES, Network, proxy_program
from tests.chaos.oracle import Guarantee, Violation, redelivered, violations
from tests.chaos.report import Incident, Report
from tests.chaos.workers import ENGINES, Platform, worker_command

_INPUT_PARTITIONS = 6
_OUTPUT_PARTITIONS = 3
_WORKERS = 2
_SETTLE_SECONDS = 150.0
_TRANSACTION_SECONDS = 10.0
_AT_WORK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done to whom.

    Attributes:
        every_seconds: between the beginnings of two faults, on average.
        kinds: of faults; those of the network are left out where there is no proxy.
        engines: kinds of `ENGINES` that a worker's start draws from.
        schedule: what to do instead of what the seed says.
        mutant: a broken worker of `mutants`.
        settings: of the worker, beyond what the harness sets.
    """

    guarantee: Guarantee
    seed: int
    seconds: float
    rate: float = 100.0
    every_seconds: float = 4.0
    kinds: Sequence[str] = tuple(WEIGHTS)
    engines: Sequence[str] = tuple(ENGINES)
    schedule: Sequence[Planned] | None = None
    mutant: str | None = None
    settle_seconds: float = _SETTLE_SECONDS
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics and the group of a run."""

    events: str
    verdicts: str
    dead_letters: str
    group: str

    @classmethod
    def named_anew(cls) -> "Topics":
        """Names that no other run has."""
        name = uuid.uuid4().hex[:6]
        return cls(f"events-{name}", f"verdicts-{name}", f"dead-{name}", f"group-{name}")

    async def create(self, cluster: Cluster) -> None:
        """Make the topics."""
        largest = {"max_message_bytes": str(MAX_RECORD_BYTES)}
        await cluster.create(self.events, _INPUT_PARTITIONS, largest)
        for topic in (self.verdicts, self.dead_letters):
            await cluster.create(topic, _OUTPUT_PARTITIONS)


def environment(topics: Topics, plan: Plan, servers: str) -> dict[str, str]:
    """The settings of every worker, as its environment."""
    settings = {
        "KAFKA__BOOTSTRAP_SERVERS": servers,
        "INPUT__TOPICS": orjson.dumps([topics.events]).decode(),
        "INPUT__GROUP_ID": topics.group,
        "INPUT__SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS),
        "OUTPUT__VERDICT_TOPIC": topics.verdicts,
        "OUTPUT__DEAD_LETTER_TOPIC": topics.dead_letters,
        "DELIVERY__GUARANTEE": plan.guarantee,
        "DELIVERY__TRANSACTION_TIMEOUT_SECONDS": str(_TRANSACTION_SECONDS),
        "ENGINE__KIND": "simulated",
        "ENGINE__STALL_SECONDS": "15",
        "BREAKER__MAX_COOL_SECONDS": "4",
        "SHUTDOWN__DRAIN_SECONDS": "5",
        "HEALTH__PORT": "0",
    }
    return {f"GUARDSTREAM_{name}": value for name, value in (settings | plan.settings).items()}


async def execute(
    plan_of_run: Plan, cluster: Cluster, folder: Path, *, tell: Callable[[str], None] = print
) -> Report:
    """Run a plan on a cluster that is up; the workers' logs are left in the folder.

    Raises:
        TimeoutError: the workers never began.
    """
    topics = Topics.named_anew()
    await topics.create(cluster)
    async with _network(plan_of_run, cluster, folder) as network:
        servers = cluster.proxied_servers if network else cluster.connection.bootstrap_servers
        feed = Feed(cluster.connection, topics.events, rate=plan_of_run.rate, seed=plan_of_run.seed)
        mayhem: Mayhem
        platform = Platform(
            _WORKERS,
            folder=folder,
            environment=environment(topics, plan_of_run, servers),
            command=worker_command(plan_of_run.mutant),
            engines=plan_of_run.engines,
            seed=plan_of_run.seed,
            on_engine=lambda engine, worker: mayhem.note(f"engine {engine}", worker),
        )
        written = (topics.events, topics.verdicts, topics.dead_letters)
        mayhem = Mayhem(cluster, platform, feed, network, written, topics.group)
        try:
            notes = await _trouble(plan_of_run, mayhem, platform, feed, cluster, topics)
            tell("No more faults; waiting until everything is judged.")
            calm_at = time.time()
            lag = await evidence.settled(
                cluster.connection,
                topics.events,
                topics.group,
                seconds=plan_of_run.settle_seconds,
            )
            settling_seconds = time.time() - calm_at
            await platform.stop()
        finally:
            platform.abandon()
    broken = [
        Violation("stuck", f"input partition {n} lags by {left}", time.time())
        for n, left in lag.items()
    ]
    broken += _ends(platform)
    given, found, more = await _evidence(plan_of_run, cluster, topics, feed)
    broken += more
    notes += _notes(platform, feed, network)
    return Report(
        plan_of_run.guarantee,
        plan_of_run.seed,
        plan_of_run.seconds,
        settling_seconds,
        Counter(record.kind for record in given),
        Counter("dead letter" if outcome.error else "verdict" for outcome in found),
        redelivered(found),
        mayhem.faults,
        [Incident(one, mayhem.before(one.at)) for one in broken],
        notes,
    )


@asynccontextmanager
async def _network(
    plan_of_run: Plan, cluster: Cluster, folder: Path
) -> AsyncIterator[Network | None]:
    wanted = set(TROUBLES) & set(plan_of_run.kinds)
    program = await asyncio.to_thread(proxy_program) if wanted else None
    if program is None:
        yield None
        return
    async with Network(cluster, program, folder / "toxiproxy.log") as network:
        yield network


async def _trouble(
    plan_of_run: Plan,
    mayhem: Mayhem,
    platform: Platform,
    feed: Feed,
    cluster: Cluster,
    topics: Topics,
) -> list[str]:
    """Feed and faults, and the calm after them: all workers run, with engines that work."""
    notes = []
    kinds = list(plan_of_run.kinds)
    if mayhem.has_network is False and set(TROUBLES) & set(kinds):
        kinds = [kind for kind in kinds if kind not in TROUBLES]
        notes.append("without faults of the network: toxiproxy is not there and Go cannot build it")
    schedule = plan_of_run.schedule
    if schedule is None:
        schedule = plan(
            seed=plan_of_run.seed,
            seconds=plan_of_run.seconds,
            every_seconds=plan_of_run.every_seconds,
            kinds=kinds,
        )
    for worker in platform.workers:
        platform.start(worker)
    background = [asyncio.create_task(feed.run()), asyncio.create_task(platform.keep_up())]
    try:
        # faults before the first commit would all hit the same: start-up
        await evidence.first_commit(
            cluster.connection, topics.events, topics.group, seconds=_AT_WORK_SECONDS
        )
        began = time.monotonic()
        await _unless_failing(mayhem.run(schedule), background)
        rest = began + plan_of_run.seconds - time.monotonic()
        await _unless_failing(asyncio.sleep(max(rest, 0)), background)
        platform.is_calm = True
    finally:
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await feed.stop()
    # whoever still has a bad engine is replaced by one with a good one, which is a fault no more
    for worker in platform.workers:
        if worker.engine != "calm" or not worker.running:
            await worker.kill()
            platform.start(worker)
    return notes


async def _unless_failing(doing, background: Sequence[asyncio.Task]) -> None:
    """Do something, unless what goes on in the background fails meanwhile: then fail as well."""
    main = asyncio.ensure_future(doing)
    try:
        await asyncio.wait([main, *background], return_when=asyncio.FIRST_COMPLETED)
        for task in background:
            if task.done():
                task.result()
        await main
    finally:
        main.cancel()
        await asyncio.gather(main, return_exceptions=True)


def _ends(platform: Platform) -> list[Violation]:
    return [
        Violation("bad end", f"{end.worker} ended with {end.code}: {end.last_words}", end.at)
        for end in platform.exits
        if not end.is_explained
    ]


async def _evidence(plan_of_run: Plan, cluster: Cluster, topics: Topics, feed: Feed):
    connection = cluster.connection
    broken = []
    for topic in (topics.verdicts, topics.dead_letters):
        left = await evidence.open_transactions(connection, topic, seconds=3 * _TRANSACTION_SECONDS)
        broken += [
            Violation("transaction left open", f"{topic}/{number}", time.time()) for number in left
        ]
    given = await evidence.given(connection, topics.events)
    found = await evidence.verdicts(connection, topics.verdicts)
    found += await evidence.dead_letters(connection, topics.dead_letters)
    broken += violations(
        given, found, guarantee=plan_of_run.guarantee, acknowledged=feed.acknowledged
    )
    return given, found, broken


def _notes(platform: Platform, feed: Feed, network: Network | None) -> list[str]:
    notes = []
    if restarts := platform.says("Restarting the engine ("):
        notes.append(f"{restarts} engines died and were restarted in place")
    for words, count in Counter(e.last_words for e in platform.exits if e.is_explained).items():
        notes.append(f"{count} workers ended by themselves: {words}")
    if feed.failures:
        notes.append(f"the feed met {dict(feed.failures)}")
    if network is not None:
        notes.append("the workers reached the brokers through toxiproxy")
    return notes
