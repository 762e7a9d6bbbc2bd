"""The contenders, which do the same work as Guardstream; `contract` defines how they run."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from benchmarks.contenders import parallel_consumer, quix_venv
from benchmarks.contenders.contract import GUARANTEES, Guarantee


@dataclass(frozen=True, slots=True)
class Contender:
    """One of them.

    Attributes:
        what: what it is, in a line.
        command: what is started; the order's arguments follow.
        needs_endpoint: whether it asks an OpenAI-compatible endpoint, `benchmarks.endpoint`,
            instead of doing the work itself.
        prepare: fetches or builds what it needs, and raises `Unprepared` where that cannot be.
    """

    title: str
    what: str
    command: list[str]
    guarantees: tuple[Guarantee, ...] = GUARANTEES
    needs_endpoint: bool = False
    prepare: Callable[[], None] | None = None


def _here(module: str, *options: str) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.contenders.{module}", *options]


CONTENDERS: Mapping[str, Contender] = MappingProxyType(
    {
        "guardstream": Contender(
            "Guardstream", "`guardstream run` with the simulated engine", _here("guardstream")
        ),
        "bare": Contender(
            "bare loop", "aiokafka: take, work, send, await, commit; the floor", _here("bare")
        ),
        "copy": Contender(
            "bare loop, copying",
            "the same without the work: what moving the bytes costs",
            _here("bare", "--copy"),
        ),
        "faststream": Contender(
            "FastStream",
            "its Kafka broker (aiokafka), batches, acknowledged after publishing",
            _here("faststream_app"),
            guarantees=("at_least_once",),
        ),
        "quix": Contender(
            "Quix Streams",
            "a dataframe of one step, on librdkafka",
            [str(quix_venv.PYTHON), "-m", "benchmarks.contenders.quix"],
            prepare=quix_venv.prepare,
        ),
        "parallel_consumer": Contender(
            "Confluent Parallel Consumer",
            "Java, unordered, its Vert.x module over HTTP to the endpoint",
            _here("parallel_consumer"),
            guarantees=("at_least_once",),
            needs_endpoint=True,
            prepare=parallel_consumer.prepare,
        ),
        "handwritten": Contender(
            "hand-written worker",
            "aiokafka, a batch of 256 at once over HTTP to the endpoint, a commit after the batch",
            _here("handwritten"),
            guarantees=("at_least_once",),
            needs_endpoint=True,
        ),
    }
)
