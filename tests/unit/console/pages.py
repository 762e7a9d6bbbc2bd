"""Pages of metrics as a worker would write them, made from the names it goes by."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from worker.operator.top.changes import Change
from worker.operator.top.scrapes import KV_CACHE_USED, RUNNING, WAITING, read_metrics
from worker.telemetry import names
from worker.telemetry.metric import Kind

_MADE_AS = {
    Kind.COUNTER: Counter,
    Kind.GAUGE: Gauge,
    Kind.HISTOGRAM: Histogram,
}


class Page:
    """All metrics of a worker; `of` gives one to be set."""

    def __init__(self, *, vllm=False, ready=True, state="running", **info):
        self.registry = CollectorRegistry()
        self._made = {}
        for metric in names.METRICS:
            buckets = {"buckets": metric.buckets} if metric.buckets else {}
            made = _MADE_AS[metric.kind](
                metric.base, metric.description, metric.labels, registry=self.registry, **buckets
            )
            self._made[metric.name] = made
        told = {
            "version": "1.2.3",
            "guard": "guardreasoner",
            "model": "a/model",
            "engine": "vllm",
            "guarantee": "exactly_once",
            "group": "g",
        }
        self.of(names.INFO, *(told | info).values()).set(1)
        for one in ("loading", "running", "stopping"):
            self.of(names.STATE, one).set(one == state)
        self.of(names.READY).set(ready)
        self._start = Gauge("process_start_time_seconds", "", registry=self.registry)
        self._start.set(1_000_000)
        for name, value in {RUNNING: 7, WAITING: 2, KV_CACHE_USED: 0.25}.items():
            if vllm:
                gauge = Gauge(name, "", ("engine", "model_name"), registry=self.registry)
                gauge.labels("0", "m").set(value)

    def of(self, metric, *labels):
        made = self._made[metric.name]
        return made.labels(*labels) if labels else made

    def start_at(self, moment):
        self._start.set(moment)

    def text(self):
        return generate_latest(self.registry).decode()

    def snapshot(self, at):
        return read_metrics(self.text(), at)


def change(page, act, *, seconds=10.0):
    """What `act` does to the page, as two looks see it."""
    before = page.snapshot(100.0)
    act(page)
    return Change(before, page.snapshot(100.0 + seconds))


def verdict(**fields):
    """An entry of `/recent`."""
    return {
        "topic": "events",
        "partition": 3,
        "offset": 41,
        "status": "complete",
        "labels": {
            "prompt_harmfulness": "harmful",
            "response_refusal": "refusal",
            "response_harmfulness": None,
        },
        "flags": [],
        "judged_at": 1_000_000.0,
        "age_seconds": 8.25,
        "trace_id": None,
    } | fields
