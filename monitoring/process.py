"""Rows about the worker's environment: Kafka and its own process."""

from monitoring import foreign
from monitoring.grafana import EACH, RECORDS_PER_SECOND, SHOWN, Json, panel, row
from worker.telemetry import attributes, names


def kafka() -> list[Json]:
    """How is Kafka?"""
    call = (attributes.OPERATION,)
    return row(
        "How is Kafka?",
        panel(
            "Calls, p99",
            "`publish` of outcomes, `commit` of offsets, `transaction` of both.",
            "s",
            {
                "{{messaging_operation_name}}": SHOWN.quantile(
                    0.99, names.OPERATION_DURATION, by=call
                )
            },
            width=6,
        ),
        panel(
            "Calls that failed",
            "By operation and error; they are retried.",
            "suffix: calls/s",
            {
                "{{messaging_operation_name}} {{error_type}}": SHOWN.rate(
                    names.OPERATION_DURATION,
                    'error_type!=""',
                    by=(*call, attributes.ERROR_TYPE),
                    part="count",
                )
            },
            width=6,
            stacked=True,
        ),
        panel(
            "Records sent",
            "Records that became durable, by topic.",
            RECORDS_PER_SECOND,
            {
                "{{messaging_destination_name}}": SHOWN.rate(
                    names.SENT, by=(attributes.DESTINATION,)
                )
            },
            width=6,
        ),
        panel(
            "Received, not yet committed",
            "Counted from each partition's oldest open record. If it only grows, a record never"
            " completes.",
            "short",
            {
                "{{topic}} {{partition}}": SHOWN.level(
                    names.UNSETTLED, by=("topic", "partition"), how="max"
                )
            },
            width=6,
        ),
        panel(
            "Lag of partitions",
            "One partition far above the others means a hot key. Unstable records are behind an"
            " open producer transaction and cannot be read yet.",
            "short",
            {
                "{{topic}} {{partition}}": SHOWN.level(
                    names.LAG_RECORDS, by=("topic", "partition")
                ),
                "unstable: {{topic}} {{partition}}": SHOWN.level(
                    names.LAG_UNSTABLE, by=("topic", "partition")
                ),
            },
            width=6,
        ),
        panel(
            "Partitions held",
            "Partitions held, by worker.",
            "short",
            {"{{instance}}": SHOWN.level(names.PARTITIONS_HELD, by=EACH)},
            width=6,
            stacked=True,
        ),
        panel(
            "Partitions assigned and removed",
            "`lost`: the group evicted the worker.",
            "suffix: partitions/s",
            {"{{change}}": SHOWN.rate(names.REBALANCES, by=("change",))},
            width=6,
        ),
        panel(
            "Epochs",
            "Epoch of the assignment under which a partition is held; each step is a takeover.",
            "short",
            {
                "{{topic}} {{partition}}": SHOWN.level(
                    names.EPOCH, by=("topic", "partition"), how="max"
                )
            },
            width=6,
        ),
    )


def runtime() -> list[Json]:
    """How is the process?"""
    return row(
        "How is the process?",
        panel(
            "Event loop lag",
            "Delay at its last heartbeat. Above half a second, the worker is short of CPU.",
            "s",
            {"{{instance}}": SHOWN.level(names.LOOP_LAG, by=EACH, how="max")},
            width=6,
        ),
        panel(
            "CPU",
            "Cores used by the worker's process; vLLM's engine core is a separate process.",
            "suffix: cores",
            {"{{instance}}": SHOWN.rate(foreign.CPU, by=EACH)},
            width=6,
        ),
        panel(
            "Memory",
            "Resident memory of the worker's process.",
            "bytes",
            {"{{instance}}": SHOWN.level(foreign.MEMORY, by=EACH)},
            width=6,
        ),
        panel(
            "Open files",
            "`exactly_once` keeps one producer per partition.",
            "short",
            {"{{instance}}": SHOWN.level(foreign.OPEN_FILES, by=EACH)},
            width=6,
        ),
        panel(
            "Starts and restarts",
            "Within the last hour: of the process, and of the engine inside it.",
            "short",
            {
                "process {{instance}}": f"changes({SHOWN.select(foreign.START_TIME)}[1h])",
                "engine {{instance}}": f"increase({SHOWN.select(names.ENGINE_RESTARTS)}[1h])",
            },
        ),
        panel(
            "What runs here",
            "Version, guard, model, engine and guarantee of each worker.",
            "short",
            {"": SHOWN.level(names.INFO, by=("instance", *names.INFO.attributes), how="max")},
            kind="table",
            width=16,
        ),
    )
