"""One run: a cluster, workers, a feed, faults, and afterwards the count."""

import asyncio
import random
import re
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from tests.chaos import evidence
from tests.chaos.cluster import MAX_RECORD_BYTES, SESSION_SECONDS, Cluster
from tests.chaos.exchanges import EXCHANGES
from tests.chaos.faults import TWIN, WEIGHTS, Mayhem, Planned, System, plan
from tests.chaos.feed import Feed
from tests.chaos.network import TROUBLES, Network, proxy_program
from tests.chaos.oracle import Guarantee, Violation, redelivered, violations
from tests.chaos.oracle_of_decisions import undecided
from tests.chaos.pending import PENDING
from tests.chaos.poisoned import MARKERS
from tests.chaos.policies import change_policies, policy_settings
from tests.chaos.produces import HELD, Produces, Route
from tests.chaos.report import Incident, Report, told_counts
from tests.chaos.staged import staged_settings
from tests.chaos.workers import ENGINES, Exit, Platform, worker_command
from worker.demo.kafka.broker import free_ports
from worker.demo.kafka.broker_properties import HOST

_INPUT_PARTITIONS = 6
_OUTPUT_PARTITIONS = 3
_WORKERS = 2
_SETTLE_SECONDS = 150.0
# four deaths, each of which costs a silence, a session and a start
_SETTLE_SECONDS_PER_POISON = 60.0
_TRANSACTION_SECONDS = 10.0
_INPUT_TRANSACTION_SECONDS = 60.0
_AT_WORK_SECONDS = 60.0
# so that a round is not all refusal
_LONGEST_REFUSAL_SHARE = 0.25
_LONGEST_REFUSAL_SECONDS = 60.0
_NAMED_SHARE = 0.5
_EVERY_SHARE = 0.5
_STAGED_SHARE = 0.5
# what the client or the worker says when committed offsets cannot be read
_ABOUT_OFFSETS = re.compile("offset ?fetch|committed offset", re.IGNORECASE)
_MOST_COMPLAINTS = 5

ALL_KINDS = (*WEIGHTS, *MARKERS, *EXCHANGES)
DEFAULT_KINDS = tuple(kind for kind in ALL_KINDS if kind not in PENDING)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done to whom.

    Attributes:
        every_seconds: between the beginnings of two faults, on average.
        kinds: of faults, of poison records and of exchanges; those of the network are left out
            where there is no proxy.
        engines: kinds of `ENGINES` that a worker's start draws from.
        schedule: what to do instead of what the seed says.
        mutant: a broken worker of `mutants`.
        settings: of the worker, beyond what the harness sets.
        settle_seconds: for what is left to judge after the faults, instead of what is usual.
        named: whether the workers have static names in the group.
        every: whether every exchange of a conversation is judged; in half of the rounds, by the
            seed, where not told.
        staged: whether the guard scores first, and reasons where the score is unsure; in half of
            the rounds, by the seed, where not told.
    """

    guarantee: Guarantee
    seed: int
    seconds: float
    rate: float = 100.0
    every_seconds: float = 3.0
    kinds: Sequence[str] = DEFAULT_KINDS
    engines: Sequence[str] = tuple(ENGINES)
    schedule: Sequence[Planned] | None = None
    mutant: str | None = None
    settle_seconds: float | None = None
    settings: dict[str, str] = field(default_factory=dict)
    named: bool | None = None
    every: bool | None = None
    staged: bool | None = None

    @property
    def longest_settling_seconds(self) -> float:
        """How long the workers have after the faults to judge what is left."""
        if self.settle_seconds is not None:
            return self.settle_seconds
        poison = set(self.kinds) & set(MARKERS)
        return _SETTLE_SECONDS + len(poison) * _SETTLE_SECONDS_PER_POISON

    @property
    def are_named(self) -> bool:
        """Whether the workers have static names in the group; by the seed, where not told."""
        if self.named is not None:
            return self.named
        alone = set(self.kinds) & set(WEIGHTS) == {TWIN}
        return alone or random.Random(f"names of {self.seed}").random() < _NAMED_SHARE

    @property
    def is_staged(self) -> bool:
        """Whether the guard scores first."""
        if self.staged is not None:
            return self.staged
        return random.Random(f"stages of {self.seed}").random() < _STAGED_SHARE

    @property
    def judges_every(self) -> bool:
        """Whether every exchange of a conversation is judged."""
        if self.every is not None:
            return self.every
        return random.Random(f"exchanges of {self.seed}").random() < _EVERY_SHARE


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics and the group of a run."""

    events: str
    verdicts: str
    decisions: str
    dead_letters: str
    group: str

    @property
    def outputs(self) -> tuple[str, str, str]:
        """What the workers write."""
        return self.verdicts, self.decisions, self.dead_letters

    @classmethod
    def named_anew(cls) -> "Topics":
        """Names that no other run has."""
        name = uuid.uuid4().hex[:6]
        kinds = ("events", "verdicts", "decisions", "dead", "group")
        return cls(*(f"{kind}-{name}" for kind in kinds))

    async def create(self, cluster: Cluster) -> None:
        """Make the topics."""
        largest = {"max_message_bytes": str(MAX_RECORD_BYTES)}
        await cluster.create(self.events, _INPUT_PARTITIONS, largest)
        for topic in self.outputs:
            await cluster.create(topic, _OUTPUT_PARTITIONS)


def environment(topics: Topics, plan: Plan, servers: str, folder: Path) -> dict[str, str]:
    """The settings of every worker, as its environment; a folder for the files that they name."""
    settings = {
        "KAFKA__BOOTSTRAP_SERVERS": servers,
        "INPUT__TOPICS": orjson.dumps([topics.events]).decode(),
        "INPUT__GROUP_ID": topics.group,
        "INPUT__JUDGE": "every" if plan.judges_every else "last",
        "INPUT__SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS),
        "OUTPUT__VERDICT_TOPIC": topics.verdicts,
        "OUTPUT__DECISION_TOPIC": topics.decisions,
        "OUTPUT__DEAD_LETTER_TOPIC": topics.dead_letters,
        "DELIVERY__GUARANTEE": plan.guarantee,
        "DELIVERY__TRANSACTION_TIMEOUT_SECONDS": str(_TRANSACTION_SECONDS),
        "ENGINE__KIND": "simulated",
        "ENGINE__STALL_SECONDS": "15",
        "BREAKER__MAX_COOL_SECONDS": "4",
        "SHUTDOWN__DRAIN_SECONDS": "5",
        "HEALTH__HOST": HOST,
    }
    settings |= policy_settings(folder)
    settings |= staged_settings(folder) if plan.is_staged else {}
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
    log_sizes = cluster.log_sizes()
    async with _proxies(plan_of_run, cluster, folder) as (network, produces):
        proxied = network is not None or produces is not None
        servers = cluster.proxied_servers if proxied else cluster.connection.bootstrap_servers
        feed = Feed(
            cluster.connection,
            topics.events,
            rate=plan_of_run.rate,
            seed=plan_of_run.seed,
            kinds=plan_of_run.kinds,
        )
        mayhem: Mayhem
        platform = Platform(
            _WORKERS,
            folder=folder,
            environment=environment(topics, plan_of_run, servers, folder),
            command=worker_command(plan_of_run.mutant, poisoned=True),
            engines=plan_of_run.engines,
            seed=plan_of_run.seed,
            on_engine=lambda engine, worker: mayhem.note(f"engine {engine}", worker),
            instances=topics.group if plan_of_run.are_named else None,
        )
        mayhem = Mayhem(
            System(
                cluster,
                platform,
                feed,
                network,
                produces,
                topics.events,
                topics.verdicts,
                topics.dead_letters,
                topics.group,
                min(_LONGEST_REFUSAL_SECONDS, _LONGEST_REFUSAL_SHARE * plan_of_run.seconds),
            )
        )
        try:
            async with _kept_up(platform), _changing(folder):
                notes = await _trouble(plan_of_run, mayhem, platform, feed, cluster, topics)
                tell("No more faults; waiting until everything is judged.")
                calm_at = time.time()
                lag = await evidence.settled(
                    cluster.connection,
                    topics.events,
                    topics.group,
                    seconds=plan_of_run.longest_settling_seconds,
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
    broken += mayhem.violations
    given, found, decisions, more = await _evidence(plan_of_run, cluster, topics, feed, platform)
    broken += more
    if plan_of_run.judges_every:
        notes.append("the workers judged every exchange of each conversation")
    if plan_of_run.is_staged:
        notes.append("the workers scored first, and reasoned where the score was unsure")
    actions = Counter(one.action for one in decisions)
    notes.append(f"decisions: {told_counts(actions)}")
    notes += _notes(platform, feed, network, produces)
    condemned = {(one.partition, one.offset) for one in found if one.error == "PoisonRecord"}
    if excused := condemned & platform.excused():
        notes.append(f"{len(excused)} good records were alone each time that the harness struck")
    if broken:
        cluster.keep_logs(folder, log_sizes)
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
async def _kept_up(platform: Platform) -> AsyncIterator[None]:
    """Workers that end are started again meanwhile, also while the last records are judged."""
    keeping = asyncio.create_task(platform.keep_up())
    try:
        yield
    finally:
        keeping.cancel()
        (end,) = await asyncio.gather(keeping, return_exceptions=True)
        if isinstance(end, Exception):
            raise end


@asynccontextmanager
async def _changing(folder: Path) -> AsyncIterator[None]:
    """The policy changes meanwhile."""
    changing = asyncio.create_task(change_policies(folder))
    try:
        yield
    finally:
        changing.cancel()
        (end,) = await asyncio.gather(changing, return_exceptions=True)
        if isinstance(end, Exception):
            raise end


@asynccontextmanager
async def _proxies(
    plan_of_run: Plan, cluster: Cluster, folder: Path
) -> AsyncIterator[tuple[Network | None, Produces | None]]:
    """What stands between workers and brokers: first what holds requests, then toxiproxy."""
    ports = {number: outside for number, (outside, _) in cluster.proxied.items()}
    holds = bool(set(HELD) & set(plan_of_run.kinds))
    behind = dict(zip(ports, free_ports(len(ports)), strict=True)) if holds else ports
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(_network(plan_of_run, cluster, folder, behind))
        produces = None
        if holds:
            routes = {
                number: Route(ports[number], behind[number] if network else inside, inside)
                for number, (_, inside) in cluster.proxied.items()
            }
            produces = await stack.enter_async_context(Produces(routes))
        yield network, produces


@asynccontextmanager
async def _network(
    plan_of_run: Plan, cluster: Cluster, folder: Path, listen: Mapping[int, int]
) -> AsyncIterator[Network | None]:
    wanted = set(TROUBLES) & set(plan_of_run.kinds)
    program = await asyncio.to_thread(proxy_program) if wanted else None
    if program is None:
        yield None
        return
    async with Network(cluster, program, folder / "toxiproxy.log", listen) as network:
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
    kinds = [kind for kind in plan_of_run.kinds if kind in WEIGHTS]
    if not plan_of_run.are_named:
        kinds = [kind for kind in kinds if kind != TWIN]
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
            poison=[kind for kind in MARKERS if kind in plan_of_run.kinds],
        )
    for worker in platform.workers:
        platform.start(worker)
    background = [asyncio.create_task(feed.run())]
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
    # a transaction's marker must not be the last of a partition: nobody commits an offset there
    await evidence.open_transactions(
        cluster.connection, topics.events, seconds=_INPUT_TRANSACTION_SECONDS
    )
    await feed.finish(_INPUT_PARTITIONS)
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
        Violation("bad end", f"{end.worker} {_how(end, platform)}: {end.last_words}", end.at)
        for end in platform.unexplained()
    ]


def _how(end: Exit, platform: Platform) -> str:
    if end.pid in platform.silent:
        return "was killed as /livez no longer answered; its last words"
    return f"ended with {end.code}"


async def _evidence(
    plan_of_run: Plan, cluster: Cluster, topics: Topics, feed: Feed, platform: Platform
):
    connection = cluster.connection
    broken = []
    for topic in topics.outputs:
        left = await evidence.open_transactions(connection, topic, seconds=3 * _TRANSACTION_SECONDS)
        broken += [
            Violation("transaction left open", f"{topic}/{number}", time.time()) for number in left
        ]
    given = await evidence.given(connection, topics.events, every=plan_of_run.judges_every)
    found = await evidence.verdicts(connection, topics.verdicts)
    found += await evidence.dead_letters(connection, topics.dead_letters)
    broken += violations(
        given,
        found,
        guarantee=plan_of_run.guarantee,
        acknowledged=feed.acknowledged,
        excused=platform.excused(),
    )
    decisions = await evidence.decisions(connection, topics.decisions)
    broken += undecided(found, decisions, guarantee=plan_of_run.guarantee)
    return given, found, decisions, broken


def _notes(
    platform: Platform,
    feed: Feed,
    network: Network | None,
    produces: Produces | None,
) -> list[str]:
    notes = []
    if restarts := platform.says("Restarting the engine ("):
        notes.append(f"{restarts} engines died and were restarted in place")
    for words, count in Counter(e.last_words for e in platform.exits if e.is_explained).items():
        notes.append(f"{count} workers ended by themselves: {words}")
    for kind, deaths in platform.poison_deaths().items():
        told = ", ".join(f"{count} by record {number}" for number, count in deaths.items())
        notes.append(f"deaths of poison that {kind}: {told}")
    if platform.silent:
        notes.append(f"{len(platform.silent)} workers were killed as /livez no longer answered")
    for said, count in platform.complaints(_ABOUT_OFFSETS).most_common(_MOST_COMPLAINTS):
        notes.append(f"{count} workers' lines about committed offsets: {said}")
    if feed.failures:
        notes.append(f"the feed met {dict(feed.failures)}")
    if produces is not None:
        for (kind, error), count in sorted(produces.answers.items()):
            notes.append(f"{count} requests of `{kind}` were answered with {error}")
    if network is not None:
        notes.append("the workers reached the brokers through toxiproxy")
    return notes
