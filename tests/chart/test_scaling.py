"""KEDA's objects: Kubernetes has no schema for them, so what matters is looked at here."""

import re

import pytest

from monitoring import rules
from tests.chart.release import EVERYTHING, render

ON = {
    "autoscaling": {"enabled": True},
    "inputPartitions": 12,
    "model": {"cache": {"enabled": False}},
}
WORK = {"enabled": True, "prometheusUrl": "http://prometheus:9090"}


def triggers(release, kind):
    found = release.one("ScaledObject")["spec"]["triggers"]
    return [trigger for trigger in found if trigger["type"] == kind]


def test_nobody_else_says_how_many_there_are():
    assert render().workload["spec"]["replicas"] == 1
    release = render(**ON)
    assert "replicas" not in release.workload["spec"]
    target = release.one("ScaledObject")["spec"]["scaleTargetRef"]
    assert target == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "guardstream"}


@pytest.mark.parametrize(
    ("topics", "most", "replicas"),
    [(["a"], None, 12), (["a", "b"], None, 24), (["a"], 5, 5)],
)
def test_there_are_never_more_than_partitions(topics, most, replicas):
    values = ON | {
        "config": {"input": {"topics": topics}},
        "autoscaling": {"enabled": True, "maxReplicas": most},
    }
    spec = render(**values).one("ScaledObject")["spec"]
    assert spec["maxReplicaCount"] == replicas
    assert spec["minReplicaCount"] == 1


def test_lag_is_asked_of_each_topic():
    release = render(EVERYTHING)
    found = triggers(release, "kafka")
    assert [trigger["metadata"]["topic"] for trigger in found] == ["chat-events", "chat-events-eu"]
    for trigger in found:
        asked = trigger["metadata"]
        assert asked["bootstrapServers"] == "kafka-1:9093,kafka-2:9094"
        assert asked["consumerGroup"] == "guardstream"
        assert asked["limitToPartitionsWithLag"] == "true"
        assert asked["excludePersistentLag"] == "true"
        assert asked["allowIdleConsumers"] == "false"
        assert asked["offsetResetPolicy"] == "earliest"
        # Kafka 4 speaks nothing older than 2.1
        assert tuple(map(int, asked["version"].split("."))) >= (2, 1)
        assert (asked["sasl"], asked["tls"]) == ("scram_sha512", "enable")
        assert trigger["authenticationRef"] == {"name": "guardstream"}


def test_keda_takes_texts_only():
    for trigger in render(EVERYTHING).one("ScaledObject")["spec"]["triggers"]:
        assert {type(value) for value in trigger["metadata"].values()} == {str}


def test_keda_logs_in_with_the_worker_s_secrets():
    spec = render(EVERYTHING).one("TriggerAuthentication")["spec"]
    assert {item["parameter"]: (item["name"], item["key"]) for item in spec["secretTargetRef"]} == {
        "username": ("guardstream-kafka", "username"),
        "password": ("guardstream-kafka", "password"),
        "ca": ("guardstream-tls", "ca.crt"),
        "cert": ("guardstream-tls", "tls.crt"),
        "key": ("guardstream-tls", "tls.key"),
    }


def test_without_a_login_there_is_nothing_to_log_in_with():
    release = render(**ON)
    assert not release.has("TriggerAuthentication")
    (trigger,) = triggers(release, "kafka")
    assert not {"sasl", "tls"} & trigger["metadata"].keys()
    assert "authenticationRef" not in trigger


@pytest.mark.parametrize(("gpus", "threshold"), [(1, "60"), (2, "120")])
def test_work_is_asked_for_by_the_rules_that_record_it(gpus, threshold):
    values = ON | {
        "autoscaling": {"enabled": True, "work": WORK},
        "gpu": {"count": gpus},
        "config": {
            "input": {"group_id": "eu"},
            "engine": {"max_num_seqs": 128, "extra": {"tensor_parallel_size": gpus}},
        },
    }
    asked = [trigger["metadata"] for trigger in triggers(render(**values), "prometheus")]
    recorded = [
        re.fullmatch(r'sum\((.+)\{namespace="moderation",group="eu"\}\)', metadata["query"])[1]
        for metadata in asked
    ]
    assert recorded == [rules.IN_FLIGHT, rules.BACKLOG]
    assert set(recorded) <= rules.recordings().keys()
    # a worker works off as many GPU-seconds a second as it has GPUs
    assert [metadata["threshold"] for metadata in asked] == ["32", threshold]
    assert {metadata["ignoreNullValues"] for metadata in asked} == {"false"}


def test_prompts_of_a_worker_can_be_named():
    values = ON | {"autoscaling": {"enabled": True, "work": WORK | {"promptsPerWorker": 50}}}
    asked = triggers(render(**values), "prometheus")
    assert asked[0]["metadata"]["threshold"] == "50"


@pytest.mark.parametrize(("drain", "period"), [(20, 120), (600, 645), (3000, 1800)])
def test_workers_go_slowly_one_drain_at_a_time(drain, period):
    values = ON | {"config": {"shutdown": {"drain_seconds": drain}}}
    spec = render(**values).one("ScaledObject")["spec"]
    down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert down["stabilizationWindowSeconds"] >= 600
    assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": period}]
