"""Rows about what the worker stands on: Kafka and its own process."""

from monitoring import foreign
from monitoring.grafana import EACH, RECORDS_PER_SECOND, SHOWN, Json, panel, row
from worker.telemetry import names


def kafka() -> list[Json]:
    """How is Kafka?"""
    call = (names.OPERATION,)
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
            "By operation and error; they are tried again.",
            "suffix: calls/s",
            {
                "{{messaging_operation_name}} {{error_type}}": SHOWN.rate(
                    names.OPERATION_DURATION,
                    'error_type!=""',
                    by=(*call, names.ERROR_TYPE),
                    part="count",
                )
            },
            width=6,
            stacked=True,
        ),
        panel(
            "Records sent",
            "That became durable, by topic.",
            RECORDS_PER_SECOND,
            {"{{messaging_destination_name}}": SHOWN.rate(names.SENT, by=(names.DESTINATION,))},
            width=6,
        ),
        panel(
            "Received, not yet committed",
            "From each partition's oldest open record on. One that only grows has a record that"
            " never ends.",
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
            "One far above the others is a key that gets most records. Unstable records are behind"
            " a producer transaction that is open: they cannot be read yet.",
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
            "Taken over, by worker.",
            "short",
            {"{{instance}}": SHOWN.level(names.PARTITIONS_HELD, by=EACH)},
            width=6,
            stacked=True,
        ),
        panel(
            "Partitions that came and went",
            "`lost`: the group went on without the worker.",
            "suffix: partitions/s",
            {"{{change}}": SHOWN.rate(names.REBALANCES, by=("change",))},
            width=6,
        ),
        panel(
            "Epochs",
            "The assignment under which a partition is held: a step is a takeover.",
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
            "Event loop's lag",
            "How late it was at its last heartbeat. Above half a second the CPU is short.",
            "s",
            {"{{instance}}": SHOWN.level(names.LOOP_LAG, by=EACH, how="max")},
            width=6,
        ),
        panel(
            "CPU",
            "Cores, of the worker's own process; vLLM's engine core is another one.",
            "suffix: cores",
            {"{{instance}}": SHOWN.rate(foreign.CPU, by=EACH)},
            width=6,
        ),
        panel(
            "Memory",
            "Resident, of the worker's own process.",
            "bytes",
            {"{{instance}}": SHOWN.level(foreign.MEMORY, by=EACH)},
            width=6,
        ),
        panel(
            "Open files",
            "`exactly_once` keeps a producer for each partition.",
            "short",
            {"{{instance}}": SHOWN.level(foreign.OPEN_FILES, by=EACH)},
            width=6,
        ),
        panel(
            "Starts and restarts",
            "Within the last hour: of the process, and of the engine in place.",
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
