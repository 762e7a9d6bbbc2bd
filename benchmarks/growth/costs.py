"""What an event costs a worker, as partitions, waiting events and sizes grow: one at a time."""

import asyncio
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.processes import Process, ProcessFailed, settings_variables
from benchmarks.sized_events import sized_values
from benchmarks.topics import event_values, fill
from worker.adapters.kafka.connection import Connection, create_topics

Curve = Literal["partitions", "waiting", "conversation", "prompt"]
Guarantee = Literal["at_least_once", "exactly_once"]

_VERDICTS, _DEAD = "verdicts-of-costs", "dead-of-costs"
PARTITIONS = 8
_TRIAL_SECONDS = 300.0
# so that a prompt of 128 KiB is judged, not refused
_CONTEXT_TOKENS = 131_072
# many chunks of those that a worker tokenises at once, or the window misses most of that work
_LEAST_EVENTS = 600


@dataclass(frozen=True, slots=True)
class Case:
    """One point of a curve.

    Attributes:
        size: of what grows: partitions, events that wait, bytes of a value.
        events: that go through the worker.
    """

    curve: Curve
    size: int
    guarantee: Guarantee
    events: int

    @property
    def partitions(self) -> int:
        """Of its topic."""
        return self.size if self.curve == "partitions" else PARTITIONS

    @property
    def topic(self) -> str:
        """Where its events wait; both guarantees read the same."""
        return f"{self.curve}-{self.size}"

    def values(self) -> Iterator[bytes]:
        """What waits there."""
        if self.curve in ("partitions", "waiting"):
            waiting = self.size if self.curve == "waiting" else self.events
            return itertools.islice(itertools.cycle(event_values(5000)), waiting)
        return iter(sized_values(self.events, self.size, self.curve))


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    Attributes:
        events: of the smallest kind; of larger ones so many as take about as long.
    """

    rounds: int
    events: int
    partitions: Sequence[int] = (1, 8, 64, 256)
    waiting: Sequence[int] = (1_000, 10_000, 100_000)
    bytes: Sequence[int] = (512, 2_048, 16_384, 131_072)

    def cases(self) -> list[Case]:
        """Every point of every curve."""
        guarantees: tuple[Guarantee, ...] = ("at_least_once", "exactly_once")
        return [
            *(
                Case("partitions", n, guarantee, self.events)
                for n in self.partitions
                for guarantee in guarantees
            ),
            *(Case("waiting", n, "at_least_once", min(n, 2 * self.events)) for n in self.waiting),
            *(
                Case("conversation", n, "at_least_once", _fewer(self.events, n, 16_384))
                for n in self.bytes
            ),
            *(
                Case("prompt", n, "at_least_once", _fewer(self.events, n, 4_096))
                for n in self.bytes
            ),
        ]


def _fewer(events: int, size: int, free_bytes: int) -> int:
    return max(_LEAST_EVENTS, round(events / (1 + size / free_bytes)))


async def measure_costs(
    connection: Connection, folder: Path, effort: Effort
) -> list[dict[str, Any]]:
    """Rounds of all cases, every other one backwards: what drifts must not look like a curve."""
    cases = effort.cases()
    for topic, case in {case.topic: case for case in cases}.items():
        await fill(connection, topic, case.values(), partitions=case.partitions)
    await create_topics(connection, [_VERDICTS, _DEAD], partitions=PARTITIONS)
    trials = []
    for number in range(effort.rounds):
        for case in cases if number % 2 == 0 else reversed(cases):
            found = await _try(connection, folder, case, f"{case.topic}-{len(trials)}")
            trials.append({**asdict(case), "round": number, **found})
            print(
                f"  round {number + 1} of {effort.rounds}: {case.curve} {case.size},"
                f" {case.guarantee}: {found['cpu_seconds'] / found['judged'] * 1e6:.0f} µs of CPU"
                f" an event, {found['events'] / found['seconds']:.0f} events/s",
                flush=True,
            )
    return trials


async def _try(connection: Connection, folder: Path, case: Case, name: str) -> dict[str, Any]:
    """Run one worker through the case's events; returns its figures."""
    settings = {
        "KAFKA__BOOTSTRAP_SERVERS": connection.bootstrap_servers,
        "INPUT__TOPICS": json.dumps([case.topic]),
        "INPUT__GROUP_ID": name,
        "OUTPUT__VERDICT_TOPIC": _VERDICTS,
        "OUTPUT__DEAD_LETTER_TOPIC": _DEAD,
        "DELIVERY__GUARANTEE": case.guarantee,
        "ENGINE__KIND": "simulated",
        "ENGINE__MAX_MODEL_LEN": str(_CONTEXT_TOKENS),
        "ENGINE__SIMULATED__TIME_TO_FIRST_TOKEN_SECONDS": "0",
        "ENGINE__SIMULATED__TIME_PER_OUTPUT_TOKEN_SECONDS": "0",
        "HEALTH__PORT": "0",
    }
    command = [sys.executable, "-m", "benchmarks.worker_trial"]
    command += [str(case.events), str(case.partitions)]
    log = folder / f"{name}.log"
    trial = Process(name, command, log, settings_variables(settings))
    trial.start()
    try:
        if code := await trial.wait(_TRIAL_SECONDS):
            raise ProcessFailed(f"{name} ended with {code}; see {log}.")
    finally:
        trial.kill()
    said = (await asyncio.to_thread(log.read_text)).splitlines()
    found: dict[str, Any] = json.loads(said[-1])
    return found
