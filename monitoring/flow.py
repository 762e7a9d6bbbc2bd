"""Rows about the flow of records: is it keeping up, and what is it waiting for?"""

from monitoring import objectives
from monitoring.grafana import EACH, RECORDS_PER_SECOND, SHOWN, Json, panel, row
from monitoring.promql import ratio, total
from monitoring.rules import JUDGED
from worker.telemetry import attributes, names

_YES_NO = {1: ("yes", "green"), 0: ("no", "red")}
_NO_YES = {1: ("yes", "red"), 0: ("no", "green")}


def at_a_glance() -> list[Json]:
    """Is all well?"""
    stated = SHOWN.rate(names.OUTCOMES, JUDGED)
    return row(
        "Is all well?",
        panel(
            "Ready workers",
            "Workers whose `/readyz` succeeds; red if there is none.",
            "short",
            {"ready": SHOWN.level(names.READY)},
            kind="stat",
            width=4,
            limits=(1.0, 0.5),
        ),
        panel(
            "Lag",
            "Records behind the committed offsets, over all partitions that a worker holds.",
            "short",
            {"records": SHOWN.level(names.LAG_RECORDS)},
            kind="stat",
            width=4,
        ),
        panel(
            "Time to catch up",
            "Longest time that a worker needs for the lag of its partitions, at its recent rate.",
            "s",
            {"needed": SHOWN.level(names.LAG_TIME, how="max")},
            kind="stat",
            width=4,
            limits=(objectives.LAG_SECONDS / 2, objectives.LAG_SECONDS),
        ),
        panel(
            "Age of verdicts, p99",
            "From the event's timestamp in Kafka until its verdict is durable.",
            "s",
            {"age": SHOWN.quantile(0.99, names.VERDICT_AGE)},
            kind="stat",
            width=4,
            limits=(objectives.VERDICT_AGE_SECONDS / 2, objectives.VERDICT_AGE_SECONDS),
        ),
        panel(
            "GPUs busy",
            "Share of the time with a prompt at the engine, averaged over the workers.",
            "percentunit",
            {"busy": total(f"rate({SHOWN.select(names.ENGINE_BUSY)}[{SHOWN.window}])", how="avg")},
            kind="stat",
            width=4,
            max=1,
        ),
        panel(
            "Dead letters",
            "Share of completed records that could not be judged.",
            "percentunit",
            {"share": ratio(SHOWN.rate(names.OUTCOMES, 'outcome="dead_letter"'), stated)},
            kind="stat",
            width=4,
            limits=(objectives.DEAD_LETTER_SHARE / 5, objectives.DEAD_LETTER_SHARE),
        ),
    )


def keeping_up() -> list[Json]:
    """Is it keeping up?"""
    ages = {f"p{q:g}": SHOWN.quantile(q / 100, names.VERDICT_AGE) for q in (50, 95, 99)}
    return row(
        "Is it keeping up?",
        panel(
            "Lag",
            "Records behind the committed offset, by topic; of partitions that a worker holds.",
            "short",
            {"{{topic}}": SHOWN.level(names.LAG_RECORDS, by=("topic",))},
            width=6,
        ),
        panel(
            "Time to catch up, by worker",
            "Time that each worker needs for the lag of its partitions, at its recent rate.",
            "s",
            {"{{instance}}": SHOWN.level(names.LAG_TIME, by=EACH)},
            width=6,
        ),
        panel(
            "Records in and out",
            "Records received by topic, and records with a durable outcome. If in exceeds out, the"
            " queues fill, then partitions are paused and the lag grows.",
            RECORDS_PER_SECOND,
            {
                "in: {{messaging_destination_name}}": SHOWN.rate(
                    names.CONSUMED, by=(attributes.DESTINATION,)
                ),
                "out: {{outcome}}": SHOWN.rate(names.OUTCOMES, by=("outcome",)),
            },
            width=6,
        ),
        panel(
            "Age of verdicts",
            "From the event's timestamp in Kafka until its verdict is durable; estimated from"
            " buckets.",
            "s",
            ages,
            width=6,
        ),
    )


def waiting() -> list[Json]:
    """What is it waiting for?"""
    return row(
        "What is it waiting for?",
        panel(
            "Where a record's time goes",
            "Mean seconds in each stage, stacked: `queue` received, `batch` waits for the batch and"
            " for a free slot, `judge` at the engine with retries, `publish` until durable.",
            "s",
            {"{{stage}}": SHOWN.mean(names.STAGE_DURATION, by=("stage",))},
            stacked=True,
        ),
        panel(
            "At the engine",
            "Records at the engine and their limit. At the limit, the GPU is the bottleneck; far"
            " below it with lag, an earlier step is.",
            "short",
            {
                "{{instance}}": SHOWN.level(names.IN_FLIGHT, by=EACH),
                "limit of all": SHOWN.level(names.IN_FLIGHT_LIMIT),
            },
        ),
        panel(
            "From queue to outcome",
            "From taking a record out of its queue until its outcome is known.",
            "s",
            {f"p{q:g}": SHOWN.quantile(q / 100, names.PROCESS_DURATION) for q in (50, 99)},
        ),
        panel(
            "Queued records",
            "Records received and not yet taken from their queue.",
            "short",
            {"{{instance}}": SHOWN.level(names.QUEUED_RECORDS, by=EACH)},
            width=6,
        ),
        panel(
            "Queued bytes",
            "Size of the queued records, limited by `input.queued_bytes`.",
            "bytes",
            {"{{instance}}": SHOWN.level(names.QUEUED_SIZE, by=EACH)},
            width=6,
        ),
        panel(
            "Longest wait in a queue",
            "Age of the oldest queued record. If it only grows, the worker is stalled.",
            "s",
            {"{{instance}}": SHOWN.level(names.QUEUED_AGE, by=EACH, how="max")},
            width=6,
        ),
        panel(
            "Partitions paused",
            "Not fetched, because their queues are full: backpressure, not a fault by itself.",
            "short",
            {"{{instance}}": SHOWN.level(names.PARTITIONS_PAUSED, by=EACH)},
            width=6,
        ),
        panel(
            "Micro-batches, by reason for closing",
            "`idle` or `linger` at low load, records or tokens at high load.",
            "suffix: batches/s",
            {"{{reason}}": SHOWN.rate(names.BATCH_SIZE, by=("reason",), part="count")},
            width=4,
        ),
        panel(
            "Records per micro-batch",
            "Mean, by reason for closing.",
            "short",
            {"{{reason}}": SHOWN.mean(names.BATCH_SIZE, by=("reason",))},
            width=4,
        ),
        panel(
            "Tokens per micro-batch",
            "Mean number of prompt tokens.",
            "short",
            {"tokens": SHOWN.mean(names.BATCH_TOKENS)},
            width=4,
        ),
        panel(
            "Ready",
            "Whether `/readyz` succeeds; its response gives the reasons.",
            "short",
            {"{{instance}}": SHOWN.level(names.READY, by=EACH)},
            kind="state-timeline",
            width=4,
            states=_YES_NO,
        ),
        panel(
            "Breaker open",
            "Records wait for the engine to recover; one record at a time probes it.",
            "short",
            {"{{instance}}": SHOWN.level(names.BREAKER_OPEN, by=EACH)},
            kind="state-timeline",
            width=4,
            states=_NO_YES,
        ),
        panel(
            "State",
            "Loading the model, running, or stopping.",
            "short",
            {"{{instance}} {{state}}": SHOWN.level(names.STATE, by=("instance", "state"))},
            kind="state-timeline",
            width=4,
            states={1: ("yes", "blue"), 0: ("no", "transparent")},
        ),
    )
