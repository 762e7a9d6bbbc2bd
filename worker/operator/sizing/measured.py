"""What sizing needs, out of what a worker did between two looks at it."""

import asyncio
from dataclasses import dataclass

from yarl import URL

from worker.operator.sizing.plan import Tokens
from worker.operator.top.changes import Change
from worker.operator.top.distributions import Distribution
from worker.operator.top.scrapes import Unreadable
from worker.operator.top.watching import NoWorker, Watch, open_session
from worker.telemetry import attributes, names
from worker.telemetry.metric import label_name

# below this share of its places taken, an engine could have done more in the same time
_FULL_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Figures:
    """A worker's figures over some seconds.

    Attributes:
        events_per_second: brought to an outcome, tombstones left out.
        engine_seconds_per_record: time with a prompt at the engine, by records judged.
        prompts_at_once: at the engine in the mean, while there was one.
        places: how many prompts may be at the engine.
    """

    seconds: float
    events_per_second: float
    engine_seconds_per_record: float
    tokens: Tokens
    prompts_at_once: float
    places: float

    @property
    def is_full(self) -> bool:
        """Whether the engine was loaded well enough to tell what a record costs."""
        return self.prompts_at_once >= _FULL_SHARE * self.places


def figures_of(change: Change) -> Figures:
    """What a worker did.

    Raises:
        Unreadable: it judged nothing meanwhile.
    """
    spent = change.distributions(names.TOKEN_USAGE, label_name(attributes.TOKEN_TYPE))
    prompts, completions = (spent.get(kind, Distribution()) for kind in ("input", "output"))
    busy = change.increase(names.ENGINE_BUSY) or 0.0
    if not completions.count or not prompts.count or not busy:
        raise Unreadable("it judged nothing between two looks")
    outcomes = change.increases(names.OUTCOMES, "outcome")
    brought = sum(count for (outcome,), count in outcomes.items() if outcome != "tombstone")
    cached = change.increase(names.TOKENS_CACHED) or 0.0
    return Figures(
        seconds=change.seconds,
        events_per_second=brought / change.seconds,
        engine_seconds_per_record=busy / completions.count,
        tokens=Tokens(
            prompt=prompts.total / prompts.count,
            shared=cached / prompts.count,
            completion=completions.total / completions.count,
        ),
        # Little's law
        prompts_at_once=change.distribution(names.CHAT_DURATION).total / busy,
        places=change.later.total(names.IN_FLIGHT_LIMIT) or 0.0,
    )


async def take_figures(base: URL, seconds: float) -> Figures:
    """Look at a worker twice, so many seconds apart.

    Raises:
        NoWorker: it cannot be read, or judged nothing.
    """
    async with open_session() as session:
        watch = Watch(base, session, 2 * seconds)
        await watch.look()
        if watch.seen().fault is None:
            await asyncio.sleep(seconds)
            await watch.look()
    seen = watch.seen()
    if seen.change is None:
        raise NoWorker(f"{seen.name} cannot be read: {seen.fault}.")
    try:
        return figures_of(seen.change)
    except Unreadable as fault:
        raise NoWorker(f"{seen.name} has no metrics to size by: {fault}.") from None
