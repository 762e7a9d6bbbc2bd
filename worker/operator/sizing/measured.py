"""The figures for sizing, measured between two scrapes of a worker."""

import asyncio
from dataclasses import dataclass

from yarl import URL

from worker.operator.sizing.plan import Tokens
from worker.operator.top.changes import Change
from worker.operator.top.distributions import Distribution
from worker.operator.top.scrapes import Unreadable
from worker.operator.top.watching import NoWorker, WatchedWorker, open_session
from worker.telemetry import attributes, names
from worker.telemetry.metric import label_name

# below this share of its capacity, an engine could have processed more in the same time
_FULL_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a worker over some seconds.

    Attributes:
        events_per_second: records with a verdict or a dead letter.
        engine_seconds_per_record: the time with prompts in flight, per judged record.
        prompts_at_once: the mean number of prompts in flight, while there was one.
        places: the most prompts in flight.
    """

    seconds: float
    events_per_second: float
    engine_seconds_per_record: float
    tokens: Tokens
    prompts_at_once: float
    places: float

    @property
    def is_full(self) -> bool:
        """Whether the load of the engine was high enough to measure the cost of a record."""
        return self.prompts_at_once >= _FULL_SHARE * self.places


def figures_of(change: Change) -> Figures:
    """The figures of a worker.

    Raises:
        Unreadable: it judged nothing in this time.
    """
    spent = change.distributions(names.TOKEN_USAGE, label_name(attributes.TOKEN_TYPE))
    prompts, completions = (spent.get(kind, Distribution()) for kind in ("input", "output"))
    busy = change.increase(names.ENGINE_BUSY) or 0.0
    # a cascade asks several times about one record
    judgements = sum(change.increases(names.JUDGEMENTS).values())
    if not judgements or not prompts.count or not busy:
        raise Unreadable("it judged nothing between two scrapes")
    outcomes = change.increases(names.OUTCOMES, "outcome")
    judged = sum(outcomes.get((outcome,), 0.0) for outcome in ("verdict", "dead_letter"))
    cached = change.increase(names.TOKENS_CACHED) or 0.0
    return Figures(
        seconds=change.seconds,
        events_per_second=judged / change.seconds,
        engine_seconds_per_record=busy / judgements,
        tokens=Tokens(
            prompt=prompts.total / judgements,
            shared=cached / judgements,
            completion=completions.total / judgements,
        ),
        # Little's law
        prompts_at_once=change.distribution(names.CHAT_DURATION).total / busy,
        places=change.later.total(names.IN_FLIGHT_LIMIT) or 0.0,
    )


async def take_figures(base: URL, seconds: float) -> Figures:
    """Scrape a worker twice, `seconds` apart.

    Raises:
        NoWorker: it cannot be read, or judged nothing.
    """
    async with open_session() as session:
        worker = WatchedWorker(base, session, 2 * seconds)
        await worker.scrape()
        if worker.status().fault is None:
            await asyncio.sleep(seconds)
            await worker.scrape()
    status = worker.status()
    if status.change is None:
        raise NoWorker(f"{status.name} cannot be read: {status.fault}.")
    try:
        return figures_of(status.change)
    except Unreadable as fault:
        raise NoWorker(f"{status.name} has no metrics to size by: {fault}.") from None
