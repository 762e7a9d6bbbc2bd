"""The dashboard: each row is a question of whoever is on call, each panel part of its answer."""

from monitoring import foreign
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
from monitoring.verdicts import failing, gpu, saying
from worker.telemetry import names

UID = "guardstream"
# metrics that no panel shows, and why
UNUSED: dict[str, str] = {}


def build(docs: str) -> Json:
    """The dashboard, for Grafana's import or its provisioning.

    Args:
        docs: where docs/operations.md can be read.
    """
    rows = [at_a_glance(), keeping_up(), waiting(), failing(), saying(), gpu(), kafka(), runtime()]
    info = names.INFO.base
    return {
        "uid": UID,
        "title": "Guardstream",
        "description": "A Kafka topic's chat events, judged on GPUs.",
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
            ]
        },
        "annotations": {
            "list": [
                annotation(
                    "Start",
                    f"changes({SHOWN.select(foreign.START_TIME)}[2m]) > 0",
                    "{{instance}} started anew",
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
            link("What the panels say", "docs/operations.md, Dashboard", f"{docs}#dashboard"),
            link("Alerts and what to do", "docs/operations.md, Alerts", f"{docs}#alerts"),
        ],
        "panels": lay_out(rows),
    }
