"""Recording rules and alerts for Prometheus.

The runbook of an alert is the section of docs/operations.md with the name of the alert.
"""

from dataclasses import dataclass
from typing import Any

from monitoring import foreign, objectives
from monitoring.cost import AUDIT_DISAGREES, AUDITED
from monitoring.promql import GROUP, WORKER, Scope, ratio, total
from worker.telemetry import attributes, names
from worker.telemetry.metric import Metric

Json = dict[str, Any]

OVER_5M = Scope()
OVER_15M = Scope(window="15m")
# audits are few
OVER_6H = Scope(window="6h")
JUDGED = 'outcome=~"verdict|dead_letter"'

LAG_RECORDS = "guardstream:lag_records:sum"
LAG_SECONDS = "guardstream:lag_seconds:max"
BACKLOG = "guardstream:backlog_gpu_seconds:sum"
IN_FLIGHT = "guardstream:in_flight:sum"
VERDICTS = "guardstream:verdicts:rate5m"
OUTCOMES = "guardstream:outcomes:rate5m"
VERDICT_AGE = "guardstream:verdict_age_seconds:p99_rate5m"
GPU_SECONDS = "guardstream:gpu_seconds_per_record:rate5m"
BUSY = "guardstream:engine_busy:ratio_rate5m"
DEAD_LETTERS = "guardstream:dead_letters:ratio_rate15m"
INCONCLUSIVE = "guardstream:inconclusive:ratio_rate15m"


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert; `lasts` is how long the expression must hold before it fires."""

    name: str
    severity: str
    lasts: str
    expression: str
    summary: str
    description: str

    def rule(self, docs: str) -> Json:
        """The rule in Prometheus' format."""
        return {
            "alert": self.name,
            "expr": self.expression,
            "for": self.lasts,
            "labels": {"severity": self.severity},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{docs}#{self.name.lower()}",
            },
        }


def build(docs: str) -> Json:
    """The rule file.

    Args:
        docs: where docs/operations.md can be read.
    """
    recorded = [{"record": name, "expr": expr} for name, expr in recordings().items()]
    return {
        "groups": [
            {"name": "guardstream-recordings", "interval": "30s", "rules": recorded},
            {"name": "guardstream-alerts", "rules": [alert.rule(docs) for alert in alerts()]},
        ]
    }


def recordings() -> dict[str, str]:
    """Figures per deployment (namespace and job), by name."""
    groups = OVER_5M.level(names.INFO, by=(*WORKER, "group"), how="max")

    def by_consumer_group(metric: Metric) -> str:
        level = OVER_5M.level(metric, by=WORKER)
        joined = f"{level} * on ({', '.join(WORKER)}) group_left (group) {groups}"
        return total(joined, (*GROUP, "group"))

    busy = f"rate({OVER_5M.select(names.ENGINE_BUSY)}[{OVER_5M.window}])"
    judged = OVER_5M.rate(names.OUTCOMES, JUDGED, by=GROUP)
    return {
        LAG_RECORDS: OVER_5M.level(names.LAG_RECORDS, by=GROUP),
        LAG_SECONDS: OVER_5M.level(names.LAG_TIME, by=GROUP, how="max"),
        BACKLOG: by_consumer_group(names.BACKLOG),
        IN_FLIGHT: by_consumer_group(names.IN_FLIGHT),
        VERDICTS: OVER_5M.rate(names.OUTCOMES, 'outcome="verdict"', by=GROUP),
        OUTCOMES: OVER_5M.rate(names.OUTCOMES, by=GROUP),
        VERDICT_AGE: OVER_5M.quantile(0.99, names.VERDICT_AGE, by=GROUP),
        GPU_SECONDS: ratio(OVER_5M.rate(names.ENGINE_BUSY, by=GROUP), f"({judged} > 0)"),
        BUSY: total(busy, GROUP, "avg"),
        DEAD_LETTERS: ratio(
            OVER_15M.rate(names.OUTCOMES, 'outcome="dead_letter"', by=GROUP),
            OVER_15M.rate(names.OUTCOMES, JUDGED, by=GROUP),
        ),
        INCONCLUSIVE: ratio(
            OVER_15M.rate(names.JUDGEMENTS, 'status="inconclusive"', by=GROUP),
            OVER_15M.rate(names.JUDGEMENTS, by=GROUP),
        ),
    }


def alerts() -> list[Alert]:
    """All alerts; `critical` ones are pages."""
    return [
        *_of_presence(),
        *_of_lag(),
        *_of_outcomes(),
        *_of_policies(),
        *_of_the_engine(),
        *_of_kafka(),
    ]


def _of_presence() -> list[Alert]:
    starts = f"changes({OVER_5M.select(foreign.START_TIME)}[1h])"
    lag = OVER_5M.select(names.LOOP_LAG)
    return [
        Alert(
            "GuardstreamAbsent",
            "critical",
            "10m",
            f"absent({names.INFO.base})",
            "No worker exports metrics.",
            "Prometheus has had no metrics of any Guardstream worker for 10 minutes.",
        ),
        Alert(
            "GuardstreamDown",
            "critical",
            "5m",
            # a failed scrape leaves no other trace: earlier metrics identify the target
            f"{OVER_5M.select(foreign.UP)} == 0\n"
            f"and on ({', '.join(GROUP)}) last_over_time({names.INFO.base}[1d])",
            "Worker {{ $labels.instance }} cannot be scraped.",
            "Its process is gone, or its event loop does not respond.",
        ),
        Alert(
            "GuardstreamNotReady",
            "warning",
            "15m",
            f"{OVER_5M.select(names.READY)} == 0",
            "Worker {{ $labels.instance }} is not ready.",
            "For 15 minutes, which is longer than loading a model takes; /readyz reports the"
            " reason.",
        ),
        Alert(
            "GuardstreamRestarting",
            "warning",
            "0m",
            f"{starts} >= {objectives.PROCESS_RESTARTS}\n"
            f"and on ({', '.join(WORKER)}) {names.INFO.base}",
            "Worker {{ $labels.instance }} keeps restarting.",
            "{{ $value | humanize }} starts within an hour.",
        ),
        Alert(
            "GuardstreamLoopLag",
            "warning",
            "5m",
            f"avg_over_time({lag}[5m]) > {objectives.LOOP_LAG_SECONDS}",
            "The event loop of worker {{ $labels.instance }} is late.",
            "By {{ $value | humanizeDuration }} on average over 5 minutes: it is short of CPU.",
        ),
    ]


def _of_lag() -> list[Alert]:
    lag = OVER_5M.level(names.LAG_RECORDS, by=WORKER)
    settled = Scope(window="10m").rate(names.OUTCOMES, by=WORKER)
    return [
        Alert(
            "GuardstreamStalled",
            "critical",
            "10m",
            f"{lag} > 0\nunless {settled} > 0",
            "Worker {{ $labels.instance }} has lag and completes no records.",
            "{{ $value | humanize }} records wait; none had an outcome within 10 minutes.",
        ),
        Alert(
            "GuardstreamBehind",
            "warning",
            "10m",
            f"{LAG_SECONDS} > {objectives.LAG_SECONDS}",
            "{{ $labels.job }} is behind.",
            "At its recent rate a worker needs {{ $value | humanizeDuration }} for its lag.",
        ),
        Alert(
            "GuardstreamLagGrowing",
            "warning",
            "30m",
            f"deriv({LAG_RECORDS}[30m]) > 0\nand {LAG_RECORDS} > {objectives.LAG_RECORDS}",
            "The lag of {{ $labels.job }} is growing.",
            "By {{ $value | humanize }} records a second, for half an hour.",
        ),
        Alert(
            "GuardstreamVerdictsLate",
            "warning",
            "15m",
            f"{VERDICT_AGE} > {objectives.VERDICT_AGE_SECONDS}",
            "Verdicts of {{ $labels.job }} are late.",
            "1 of 100 is older than {{ $value | humanizeDuration }} when it can be read;"
            f" the objective is {objectives.VERDICT_AGE_SECONDS} s.",
        ),
    ]


def _of_outcomes() -> list[Alert]:
    def many(metric: Metric, *where: str) -> str:
        counted = total(f"increase({OVER_15M.select(metric, *where)}[{OVER_15M.window}])", GROUP)
        return f"and {counted} > {objectives.SHARE_RECORDS}"

    audited, disagree = _audits(AUDITED), _audits(AUDIT_DISAGREES)
    return [
        Alert(
            "GuardstreamDeadLetters",
            "warning",
            "10m",
            f"{DEAD_LETTERS} > {objectives.DEAD_LETTER_SHARE}\n{many(names.OUTCOMES, JUDGED)}",
            "{{ $labels.job }} cannot judge many records.",
            "{{ $value | humanizePercentage }} of the records became dead letters.",
        ),
        Alert(
            "GuardstreamInconclusive",
            "warning",
            "15m",
            f"{INCONCLUSIVE} > {objectives.INCONCLUSIVE_SHARE}\n{many(names.JUDGEMENTS)}",
            "{{ $labels.job }} produces many verdicts without a label.",
            "{{ $value | humanizePercentage }} of the judgements are inconclusive.",
        ),
        Alert(
            "GuardstreamAuditsDisagree",
            "warning",
            "15m",
            f"{ratio(disagree, audited)} > {objectives.AUDIT_DISAGREEMENT}\n"
            f"and {audited} > {objectives.AUDITS}",
            "Scores of {{ $labels.job }} say something else than its reasoning.",
            "{{ $value | humanizePercentage }} of the audited verdicts have another label with"
            " reasoning.",
        ),
    ]


def _of_policies() -> list[Alert]:
    return [
        Alert(
            "GuardstreamPolicyBroken",
            "warning",
            "5m",
            f"{OVER_5M.select(names.POLICY_BROKEN)} == 1",
            "Worker {{ $labels.instance }} cannot use the file of its {{ $labels.policy }} policy.",
            "It decides by the policy that it read before; after a restart it would not start.",
        ),
    ]


def _audits(flag: str) -> str:
    return total(f"increase({OVER_6H.select(names.FLAGS, flag)}[{OVER_6H.window}])", GROUP)


def _of_the_engine() -> list[Alert]:
    busy = OVER_5M.rate(names.ENGINE_BUSY, by=WORKER)
    lag = OVER_5M.level(names.LAG_RECORDS, by=WORKER)
    limit = OVER_5M.level(names.IN_FLIGHT_LIMIT, by=WORKER)
    ready = OVER_5M.level(names.READY, by=WORKER)
    return [
        Alert(
            "GuardstreamBreakerOpen",
            "critical",
            "3m",
            f"{OVER_5M.select(names.BREAKER_OPEN)} == 1",
            "The engine of worker {{ $labels.instance }} fails on most prompts.",
            "Its circuit breaker is open: records wait, and one at a time probes the engine.",
        ),
        Alert(
            "GuardstreamEngineRestarts",
            "warning",
            "0m",
            f"increase({OVER_5M.select(names.ENGINE_RESTARTS)}[1h])"
            f" >= {objectives.ENGINE_RESTARTS}",
            "The engine of worker {{ $labels.instance }} keeps dying.",
            "{{ $value | humanize }} restarts within an hour; after `engine.restarts` of them the"
            " worker exits.",
        ),
        Alert(
            "GuardstreamGpuIdle",
            "warning",
            "15m",
            f"{busy} < {objectives.BUSY_SHARE}\nand {lag} > {limit}\nand {ready} == 1",
            "The GPU of worker {{ $labels.instance }} is idle while records wait.",
            "It is busy {{ $value | humanizePercentage }} of the time, with more lag than the"
            " engine can hold.",
        ),
    ]


def _of_kafka() -> list[Alert]:
    calls = names.OPERATION_DURATION
    by = (*GROUP, attributes.OPERATION)
    failed = OVER_5M.rate(calls, 'error_type!=""', by=by, part="count")
    gone = OVER_5M.select(names.REBALANCES, 'change!="assigned"')
    moved = f"increase({gone}[15m])"
    held = OVER_5M.level(names.PARTITIONS_HELD, by=GROUP)
    return [
        Alert(
            "GuardstreamKafkaCallsFail",
            "warning",
            "10m",
            f"{ratio(failed, OVER_5M.rate(calls, by=by, part='count'))}"
            f" > {objectives.FAILED_CALLS_SHARE}",
            "{{ $labels.job }}: {{ $labels.messaging_operation_name }} calls to Kafka fail.",
            "{{ $value | humanizePercentage }} of these calls fail; until they succeed, offsets"
            " wait.",
        ),
        Alert(
            "GuardstreamRebalances",
            "warning",
            "5m",
            f"{ratio(total(moved, GROUP), held)} > {objectives.REBALANCES}",
            "The partitions of {{ $labels.job }} keep moving between workers.",
            "Each moved {{ $value | humanize }} times within 15 minutes.",
        ),
    ]
