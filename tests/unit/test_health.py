"""What the probes answer."""

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Gauge

from worker.demo.kafka.broker import free_ports
from worker.domain.errors import WrongSetting
from worker.runtime.health import HealthServer, Probes, Report


@pytest.fixture
async def served():
    """A server whose reports can be set, and its address."""
    (port,) = free_ports(1)
    said = dict.fromkeys(("livez", "readyz", "startupz"), Report("running"))
    registry = CollectorRegistry()
    Gauge("trial", "A trial.", registry=registry).set(7)
    probes = Probes(
        live=lambda: said["livez"],
        ready=lambda: said["readyz"],
        started=lambda: said["startupz"],
        recent=lambda: [{"offset": 1}],
        registries=[registry],
    )
    server = HealthServer("127.0.0.1", port, probes)
    await server.start()
    yield port, said
    await server.stop()


async def ask(port, path):
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/{path}") as answer,
    ):
        is_json = answer.content_type == "application/json"
        return answer.status, await (answer.json() if is_json else answer.text())


@pytest.mark.parametrize("probe", ["livez", "readyz", "startupz"])
async def test_a_probe_says_why(served, probe):
    port, said = served
    assert await ask(port, probe) == (200, {"status": "ok", "state": "running", "reasons": []})
    said[probe] = Report("stopping", ["The worker is stopping."])
    assert await ask(port, probe) == (
        503,
        {"status": "failing", "state": "stopping", "reasons": ["The worker is stopping."]},
    )
    others = {"livez", "readyz", "startupz"} - {probe}
    assert [(await ask(port, other))[0] for other in others] == [200, 200]


async def test_metrics_and_the_last_verdicts(served):
    port, _ = served
    assert await ask(port, "recent") == (200, [{"offset": 1}])
    status, page = await ask(port, "metrics")
    assert status == 200
    assert "trial 7.0" in page


async def test_a_port_that_is_taken_is_named(served):
    port, _ = served
    probes = Probes(*3 * [lambda: Report("running")], recent=list, registries=[])
    second = HealthServer("127.0.0.1", port, probes)
    with pytest.raises(WrongSetting, match=f"{port} of health.port"):
        await second.start()
    await second.stop()
