"""Rows about the records' way: is it keeping up, and what is it waiting for?"""

from monitoring import objectives
from monitoring.grafana import EACH, RECORDS_PER_SECOND, SHOWN, Json, panel, row
from monitoring.promql import ratio, total
from worker.telemetry import names

_YES_NO = {1: ("yes", "green"), 0: ("no", "red")}
_NO_YES = {1: ("yes", "red"), 0: ("no", "green")}


def at_a_glance() -> list[Json]:
    """Is all well?"""
    stated = SHOWN.rate(names.OUTCOMES, 'outcome!="tombstone"')
    return row(
        "Is all well?",
        panel(
            "Ready workers",
            "Workers whose `/readyz` says yes; red when there is none.",
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
            "Time to work it off",
            "Of the worker that needs longest for the lag of its partitions, at its recent rate.",
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
            "Share of the time with a prompt at the engine, the mean over the workers.",
            "percentunit",
            {"busy": total(f"rate({SHOWN.select(names.ENGINE_BUSY)}[{SHOWN.window}])", how="avg")},
            kind="stat",
            width=4,
            max=1,
        ),
        panel(
            "Dead letters",
            "Share of the records with an outcome that could not be judged.",
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
            "Time to work the lag off",
            "How long each worker would need for the lag of its partitions, at its recent rate.",
            "s",
            {"{{instance}}": SHOWN.level(names.LAG_TIME, by=EACH)},
            width=6,
        ),
        panel(
            "Records in and out",
            "Received by topic, and with a durable outcome. In above out: the queues fill, then"
            " partitions are paused and the lag grows.",
            RECORDS_PER_SECOND,
            {
                "in: {{messaging_destination_name}}": SHOWN.rate(
                    names.CONSUMED, by=(names.DESTINATION,)
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
            "Mean seconds in each stage, stacked: `queue` received, `batch` waits for company and"
            " for room, `judge` at the engine with retries, `publish` until durable.",
            "s",
            {"{{stage}}": SHOWN.mean(names.STAGE_DURATION, by=("stage",))},
            stacked=True,
        ),
        panel(
            "At the engine",
            "Records at the engine and how many may be. At the limit the GPU is what is waited"
            " for; far below it with lag, something before the engine is.",
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
            "Received and not yet taken.",
            "short",
            {"{{instance}}": SHOWN.level(names.QUEUED_RECORDS, by=EACH)},
            width=6,
        ),
        panel(
            "Queued bytes",
            "What the queued records weigh; `input.queued_bytes` bounds it.",
            "bytes",
            {"{{instance}}": SHOWN.level(names.QUEUED_SIZE, by=EACH)},
            width=6,
        ),
        panel(
            "Longest wait in a queue",
            "How long the record that waits longest has waited. Grows without end: stalled.",
            "s",
            {"{{instance}}": SHOWN.level(names.QUEUED_AGE, by=EACH, how="max")},
            width=6,
        ),
        panel(
            "Partitions paused",
            "Not fetched, since enough of them is in hand: backpressure, and no fault by itself.",
            "short",
            {"{{instance}}": SHOWN.level(names.PARTITIONS_PAUSED, by=EACH)},
            width=6,
        ),
        panel(
            "Micro-batches, by why they closed",
            "`linger` at low load, records or tokens at high load.",
            "suffix: batches/s",
            {"{{reason}}": SHOWN.rate(names.BATCH_SIZE, by=("reason",), part="count")},
            width=4,
        ),
        panel(
            "Records of a micro-batch",
            "The mean, by why it closed.",
            "short",
            {"{{reason}}": SHOWN.mean(names.BATCH_SIZE, by=("reason",))},
            width=4,
        ),
        panel(
            "Tokens of a micro-batch",
            "Prompt tokens, the mean.",
            "short",
            {"tokens": SHOWN.mean(names.BATCH_TOKENS)},
            width=4,
        ),
        panel(
            "Ready",
            "Whether `/readyz` says yes; ask it why not.",
            "short",
            {"{{instance}}": SHOWN.level(names.READY, by=EACH)},
            kind="state-timeline",
            width=4,
            states=_YES_NO,
        ),
        panel(
            "Breaker open",
            "Records wait for the engine to recover; one at a time probes it.",
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
