import contextlib
import gc
import os
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import hypothesis
import psutil
import pytest

from worker.adapters.kafka.connection import Connection, create_topics
from worker.demo.kafka.broker import Broker
from worker.domain.records import Partition, Record
from worker.runtime.settings import Settings, load_settings

# no deadline: it measures by the wall clock, also while other programs run
hypothesis.settings.register_profile("default", max_examples=50, deadline=None)
hypothesis.settings.register_profile("nightly", max_examples=2000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# On a CPU vLLM otherwise starts one more process, which imports torch and vllm again (10 s).
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")


def pytest_configure() -> None:
    # a shell starts what it leaves in the background with SIGINT ignored, and children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # the slow layers last: a broken unit shows first
    order = ("unit", "tools", "chart", "contract", "integration", "e2e", "chaos")
    items.sort(
        key=lambda item: next((n for n, o in enumerate(order) if f"/{o}/" in str(item.path)), 9)
    )


@pytest.fixture(scope="session")
def bootstrap_servers() -> Iterator[str]:
    if running := os.environ.get("GUARDSTREAM_TEST_BOOTSTRAP_SERVERS"):
        yield running
        return
    with Broker(heap_mebibytes=512, properties={"message.max.bytes": str(8 << 20)}) as broker:
        yield broker.bootstrap_servers


@pytest.fixture
def connection(bootstrap_servers: str) -> Connection:
    return Connection(bootstrap_servers)


@pytest.fixture
async def kafka_settings(
    connection: Connection, request: pytest.FixtureRequest
) -> AsyncIterator[Callable[..., Any]]:
    """Makes topics of its own, and settings that name them, with the simulated engine.

    Its parameter, if it is given one, is the guarantee.
    """

    async def make(*, partitions: int = 1, input_bytes: int = 1 << 20, **groups: Any) -> Settings:
        name = uuid.uuid4().hex[:8]
        topics = [f"events-{name}", f"verdicts-{name}", f"dead-{name}"]
        await create_topics(
            connection, topics[:1], partitions=partitions, max_message_bytes=str(input_bytes)
        )
        output = {"verdict_topic": topics[1], "dead_letter_topic": topics[2]}
        if "policy" in groups:
            topics.append(f"decisions-{name}")
            output["decision_topic"] = topics[3]
        await create_topics(connection, topics[1:], partitions=2, max_message_bytes=str(1 << 20))
        quick = {"time_to_first_token_seconds": 0.01, "time_per_output_token_seconds": 0.0}
        return load_settings(
            kafka={"bootstrap_servers": connection.bootstrap_servers},
            input={"topics": topics[:1], "group_id": f"group-{name}"},
            output=output,
            engine={"kind": "simulated", "simulated": quick} | groups.pop("engine", {}),
            delivery={"guarantee": getattr(request, "param", "at_least_once")}
            | groups.pop("delivery", {}),
            health={"port": 0},
            **groups,
        )

    return make


@pytest.fixture
def record() -> Callable[..., Record]:
    def make(value: bytes | None = b"{}", **changes: Any) -> Record:
        fields: dict[str, Any] = {
            "partition": Partition("events", 0),
            "epoch": 1,
            "offset": 0,
            "key": None,
            "value": value,
            "headers": (),
            "timestamp_ms": 1_764_000_000_000,
            "received_at": 1_764_000_000.5,
        }
        return Record(**(fields | changes))

    return make


@pytest.fixture(autouse=True)
def _report_leaks_at_once(request):
    """What a test leaves open is reported when it is collected: do that before the next test."""
    yield
    if request.node.get_closest_marker("integration"):
        gc.collect()


# they end with pytest, and brokers and engines of several tests depend on them
_KEPT = ("broker_guardian", "multiprocessing.resource_tracker", "multiprocessing.forkserver")


def _children() -> list[psutil.Process]:
    return psutil.Process().children()


def _is_kept(process: psutil.Process) -> bool:
    command = " ".join(process.cmdline())
    return any(name in command for name in _KEPT)


@pytest.fixture(autouse=True)
def _end_processes(request):
    """No process that a test starts outlives it, also where it fails half way."""
    if "/unit/" in str(request.path):
        yield
        return
    before = _children()
    yield
    left: list[psutil.Process] = []
    for child in _children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if child not in before and not _is_kept(child):
                left += [child, *child.children(recursive=True)]
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
