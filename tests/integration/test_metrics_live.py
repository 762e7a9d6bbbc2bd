"""Every series that dashboard and rules read is exported by a running worker."""

import asyncio
import signal
import socket

import aiohttp
import pytest
from prometheus_client import REGISTRY, Gauge
from prometheus_client.parser import text_string_to_metric_families

from monitoring import foreign
from monitoring.reference import series_read
from tests.integration.harness import both_guarantees, event, produce, start_process
from tests.unit.policy.policies import rule, text
from worker.domain.records import OutgoingRecord
from worker.runtime.health import HealthServer, Probes, Report
from worker.telemetry import names

pytestmark = pytest.mark.integration

# what Prometheus sends
ACCEPT = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
# vLLM's are checked against its source, `up` is Prometheus's
NOT_HERE = {name for metric in (*foreign.VLLM, foreign.UP) for name in metric.series}
# this guard has no categories, and no rule is evaluated on what a simulated engine says
NOT_HERE |= {*names.CATEGORIES.series, *names.RULE_ERRORS.series}
EXPECTED = (series_read() | {name for metric in names.METRICS for name in metric.series}) - NOT_HERE


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def scrape(session, url):
    """The samples of `/metrics`: name, labels and value; none while nobody listens."""
    try:
        async with session.get(url, headers={"Accept": ACCEPT}) as answer:
            page = await answer.text()
    except aiohttp.ClientError:
        return []
    families = text_string_to_metric_families(page)
    return [sample for family in families for sample in family.samples]


async def settled(session, url, count):
    """The samples once so many records have an outcome and nothing is missing."""
    missing = None
    try:
        async with asyncio.timeout(60):
            while True:
                samples = await scrape(session, url)
                missing = EXPECTED - {sample.name for sample in samples}
                outcomes = sum(s.value for s in samples if s.name == names.OUTCOMES.series[0])
                if outcomes >= count and not missing:
                    return samples
                await asyncio.sleep(0.5)
    except TimeoutError:
        pytest.fail(f"not exported: {sorted(missing) if missing else 'the outcomes'}")


@both_guarantees
async def test_a_running_worker_exports_what_is_read(kafka_settings, connection, tmp_path):
    policies = {}
    for name, action in (("FILE", "log"), ("SHADOW_FILE", "block")):
        path = tmp_path / f"{action}.yaml"
        path.write_bytes(text(rule(), simulated=action))
        policies[f"POLICY__{name}"] = str(path)
    settings = await kafka_settings(partitions=2, policy={"file": policies["POLICY__FILE"]})
    topic = settings.input.topics[0]
    good = [event(topic, str(n), response="With flour.") for n in range(40)]
    bad = [
        OutgoingRecord(topic, b"1", b"not JSON", ()),
        OutgoingRecord(topic, b"2", b'{"id": "2", "messages": []}', ()),
        OutgoingRecord(topic, b"3", None, ()),
    ]
    await produce(connection, topic, [*good, *bad])
    port = free_port()
    process = await start_process(
        settings, HEALTH__PORT=str(port), HEALTH__HOST="127.0.0.1", **policies
    )
    try:
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{port}/metrics"
            samples = await settled(session, url, len(good) + len(bad))
    finally:
        process.send_signal(signal.SIGTERM)
        await process.communicate()
    labels = {series: metric.labels for metric in names.METRICS for series in metric.series}
    for sample in samples:
        if sample.name in labels:
            assert set(sample.labels) - {"le"} == set(labels[sample.name]), sample.name
    outcomes = {
        sample.labels["outcome"]: sample.value
        for sample in samples
        if sample.name == names.OUTCOMES.series[0]
    }
    assert outcomes == {"verdict": 40, "dead_letter": 2, "tombstone": 1, "skipped": 0}


async def test_metrics_keep_the_names_that_vllm_gives_them():
    # prometheus_client writes vllm_trial where a scraper that knows OpenMetrics is obeyed
    gauge = Gauge("vllm:trial", "A trial.")
    port = free_port()
    probes = Probes(*3 * [lambda: Report("running")], recent=list, registries=[REGISTRY])
    server = HealthServer("127.0.0.1", port, probes)
    await server.start()
    try:
        async with aiohttp.ClientSession() as session:
            samples = await scrape(session, f"http://127.0.0.1:{port}/metrics")
    finally:
        await server.stop()
        REGISTRY.unregister(gauge)
    assert "vllm:trial" in {sample.name for sample in samples}
