"""The dashboard: each row is a question of the on-call engineer, each panel part of its answer."""

from monitoring import foreign
from monitoring.cost import cost
from monitoring.flow import at_a_glance, keeping_up, waiting
from monitoring.grafana import (
    SCHEMA_VERSION,
    SHOWN,
    Json,
    annotation,
    lay_out,
    link,
    source_variable,
    variable,
)
from monitoring.process import kafka, runtime
from monitoring.promql import total
from monitoring.verdicts import deciding, failing, gpu, labelling
from worker.telemetry import names

UID = "guardstream"
# metrics that no panel shows, and why
UNUSED: dict[str, str] = {}


def build(docs: str) -> Json:
    """The dashboard, for Grafana's import or its provisioning.

    Args:
        docs: where docs/operations.md can be read.
    """
    rows = [
        at_a_glance(),
        keeping_up(),
        waiting(),
        failing(),
        labelling(),
        deciding(),
        cost(),
        gpu(),
        kafka(),
        runtime(),
    ]
    info = names.INFO.base
    return {
        "uid": UID,
        "title": "Guardstream",
        "description": "Chat events of a Kafka topic, judged on GPUs.",
        "tags": ["guardstream", "kafka", "vllm"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "browser",
        "time": {"from": "now-3h", "to": "now"},
        "refresh": "30s",
        "templating": {
            "list": [
                source_variable(),
                variable(
                    "namespace", "Namespace", f"label_values({info}, namespace)", optional=True
                ),
                variable("job", "Job", f'label_values({info}{{namespace=~"$namespace"}}, job)'),
                variable(
                    "instance",
                    "Worker",
                    f'label_values({info}{{namespace=~"$namespace",job=~"$job"}}, instance)',
                ),
                variable(
                    "task",
                    "Question",
                    f'label_values({names.VERDICTS.series[0]}{{namespace=~"$namespace",job=~"$job"}},'
                    " task)",
                ),
            ]
        },
        "annotations": {
            "list": [
                annotation(
                    "Start",
                    f"changes({SHOWN.select(foreign.START_TIME)}[2m]) > 0",
                    "{{instance}} started",
                    "red",
                ),
                annotation(
                    "Rebalance",
                    total(f"increase({SHOWN.select(names.REBALANCES)}[2m])", ("change",)) + " > 0",
                    "partitions {{change}}",
                    "blue",
                ),
            ]
        },
        "links": [
            link("About the panels", "docs/operations.md, Dashboard", f"{docs}#dashboard"),
            link("Alerts and runbooks", "docs/operations.md, Alerts", f"{docs}#alerts"),
        ],
        "panels": lay_out(rows),
    }
