"""What is wrong is refused before anything is installed, with a message that names it."""

import pytest
import yaml

from helm.documents import schema, secret_settings
from helm.rendering import Refused
from tests.chart.release import EVERYTHING, render


def message(*files, **values):
    with pytest.raises(Refused) as refusal:
        render(*files, **values)
    return str(refusal.value)


def groups(node, path=()):
    """Paths to every object of the schema that lists its keys."""
    if "$ref" in node:
        node = schema()["$defs"][node["$ref"].rpartition("/")[2]] | node
    if "properties" in node:
        yield path, node
        for name, child in node["properties"].items():
            yield from groups(child, (*path, name))


GROUPS = dict(groups(schema()))


def nested(path, value):
    for name in reversed(path):
        value = {name: value}
    return value


def test_every_group_is_closed():
    open_groups = [
        path for path, node in GROUPS.items() if node["additionalProperties"] is not False
    ]
    assert open_groups == []
    assert ("config", "engine", "simulated") in GROUPS
    assert ("monitoring", "podMonitor") in GROUPS


@pytest.mark.parametrize("path", GROUPS, ids=".".join)
def test_an_unknown_key_is_named(path):
    said = message(**nested((*path, "whatever"), 1))
    assert "'whatever'" in said
    assert f"'/{'/'.join(path)}'" in said or not path


@pytest.mark.parametrize(
    ("path", "value", "what"),
    [
        (("workload", "kind"), "DaemonSet", "'Deployment', 'StatefulSet'"),
        (("workload", "replicas"), -1, "minimum"),
        (("gpu", "count"), "one", "want integer"),
        (("inputPartitions",), 0, "minimum"),
        (("shutdown", "marginSeconds"), 5, "minimum"),
        (("image", "digest"), "latest", "pattern"),
        (("model", "cache", "size"), "30 gigabytes", "pattern"),
        (("autoscaling", "minReplicas"), 0, "minimum"),
        (("config", "delivery", "guarantee"), "at_most_once", "'at_least_once', 'exactly_once'"),
        (("config", "input", "topics"), "chat-events", "want array"),
        (("config", "input", "on_offset_lost"), "skip", "'earliest', 'latest'"),
        (("config", "engine", "gpu_memory_utilization"), 1.5, "maximum"),
        (("config", "engine", "max_model_len"), 8, "minimum"),
        (("config", "shutdown", "drain_seconds"), "20s", "want number"),
        (("config", "health", "port"), 70000, "maximum"),
    ],
    ids=lambda part: ".".join(part) if isinstance(part, tuple) else None,
)
def test_a_wrong_value_is_named(path, value, what):
    said = message(**nested(path, value))
    assert f"/{'/'.join(path)}'" in said
    assert what in said


@pytest.mark.parametrize(
    ("named", "values"),
    [
        ("workload.staticMembership", {"config": {"input": {"group_instance_id": "me"}}}),
        ("workload.kind StatefulSet", {"workload": {"staticMembership": True}}),
        ("extraEnv GUARDSTREAM_LOG__LEVEL", {"extraEnv": [{"name": "GUARDSTREAM_LOG__LEVEL"}]}),
        (
            "config.kafka.ca_file",
            {"config": {"kafka": {"ca_file": "/a"}}, "tls": {"existingSecret": "t"}},
        ),
        ("tls.privateKeyKey", {"tls": {"existingSecret": "t", "certificateKey": "tls.crt"}}),
        (
            "credentials.existingSecret",
            {"config": {"kafka": {"security_protocol": "SASL_PLAINTEXT"}}},
        ),
        ("config.health.port", {"config": {"health": {"port": 0}}}),
        ("config.health.host", {"config": {"health": {"host": "127.0.0.1"}}}),
        ("inputPartitions", {"autoscaling": {"enabled": True}}),
        ("inputPartitions", {"topics": {"create": True}}),
        (
            "there are 4 partitions",
            {"workload": {"replicas": 5, "kind": "StatefulSet"}, "inputPartitions": 4},
        ),
        ("model.cache.accessModes", {"workload": {"replicas": 2}}),
        ("model.offline", {"model": {"offline": True}}),
        ("model.image.mountPath", {"model": {"image": {"reference": "r/m:1"}}}),
        ("gpu.count is 2", {"gpu": {"count": 2}}),
        (
            "require 4",
            {"config": {"engine": {"extra": {"tensor_parallel_size": 4}}}, "gpu": {"count": 2}},
        ),
        ("gpu.count", {"config": {"engine": {"kind": "simulated"}}}),
        (
            "topics.minInsyncReplicas 2",
            {"topics": {"create": True, "replicas": 1}, "inputPartitions": 4},
        ),
    ],
    ids=str,
)
def test_values_that_cannot_work_together_are_named(named, values):
    assert named in message(**values)


@pytest.mark.parametrize("path", yaml.safe_load(secret_settings())["paths"], ids=".".join)
def test_a_secret_in_the_settings_is_named(path):
    said = message(**nested(("config", *path), "hunter2"))
    assert f"config.{'.'.join(path)} would be readable" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("named", "scaling"),
    [
        ("autoscaling.maxReplicas is 25 and there are 24 partitions", {"maxReplicas": 25}),
        ("autoscaling.minReplicas 9", {"minReplicas": 9}),
        ("autoscaling.work.prometheusUrl", {"work": {"prometheusUrl": ""}}),
        (
            "autoscaling.lag.enabled or autoscaling.work.enabled",
            {"lag": {"enabled": False}, "work": {"enabled": False}},
        ),
    ],
)
def test_scaling_that_cannot_work_is_named(named, scaling):
    assert named in message(EVERYTHING, autoscaling=scaling)
