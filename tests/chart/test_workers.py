"""The workers' pods: how they start, end and are replaced, and what they compute on."""

import pytest
from typer.main import get_command

from helm.documents import CHART
from helm.rendering import RELEASE
from tests.chart.release import EVERYTHING, VALUES, render, variables
from worker.cli import app, register

CPU = CHART / "values" / "cpu-demonstration.yaml"
GPU_3B = CHART / "values" / "gpu-3b.yaml"
GPU_8B = CHART / "values" / "gpu-8b-tensor-parallel.yaml"
MIG = CHART / "values" / "mig-slices.yaml"


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ({}, 20 + 45),
        ({"config": {"shutdown": {"drain_seconds": 60.5}}}, 61 + 45),
        ({"config": {"shutdown": {"drain_seconds": 0}}}, 45),
        ({"shutdown": {"marginSeconds": 90}}, 20 + 90),
    ],
    ids=str,
)
def test_a_pod_may_drain_and_say_goodbye(values, seconds):
    assert render(**values).pod["terminationGracePeriodSeconds"] == seconds


def test_probes_ask_the_health_port():
    worker = render(config={"health": {"port": 9000}}).worker
    assert worker["ports"] == [{"name": "health", "containerPort": 9000}]
    for probe, path in (("startup", "startupz"), ("readiness", "readyz"), ("liveness", "livez")):
        asked = worker[f"{probe}Probe"]["httpGet"]
        assert asked == {"path": f"/{path}", "port": "health"}


def test_loading_a_model_may_take_minutes():
    workload = render().workload["spec"]
    (worker,) = workload["template"]["spec"]["containers"]
    probe = worker["startupProbe"]
    seconds = probe["periodSeconds"] * probe["failureThreshold"]
    assert seconds >= 600
    assert workload["progressDeadlineSeconds"] > seconds


def test_a_worker_that_reloads_its_engine_is_not_killed_for_it():
    def patience(on_death):
        probe = render(config={"engine": {"on_death": on_death}}).worker["livenessProbe"]
        return probe["periodSeconds"] * probe["failureThreshold"]

    assert patience("exit") == 60
    assert patience("restart") == 1200


def test_an_update_needs_no_second_gpu():
    strategy = render().workload["spec"]["strategy"]
    assert strategy == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1},
    }


def test_the_program_is_told_to_stop_itself():
    # no shell between it and SIGTERM
    worker = render().worker
    assert (worker["command"], worker["args"]) == (["guardstream"], ["run"])


@pytest.mark.parametrize("file", [*VALUES, EVERYTHING], ids=lambda file: file.stem)
def test_selectors_are_name_and_instance_and_never_meet_a_job(file):
    release = render(file)
    selector = release.workload["spec"]["selector"]["matchLabels"]
    assert selector.keys() == {"app.kubernetes.io/name", "app.kubernetes.io/instance"}
    assert selector.items() <= release.workload["spec"]["template"]["metadata"]["labels"].items()
    for job in release.all("Job"):
        assert not selector.items() <= job["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize("file", [*VALUES, EVERYTHING], ids=lambda file: file.stem)
def test_everything_bears_the_labels(file):
    for manifest in render(file).manifests:
        labels = manifest["metadata"]["labels"]
        assert manifest["metadata"]["namespace"] == "moderation"
        for name in ("name", "instance", "version", "managed-by", "part-of", "component"):
            assert labels[f"app.kubernetes.io/{name}"]


def test_a_new_chart_version_alone_restarts_nothing():
    labels = render().workload["spec"]["template"]["metadata"]["labels"]
    assert "helm.sh/chart" not in labels


class TestStatefulSet:
    def test_members_are_named_after_namespace_release_and_pod(self):
        given = variables(render(workload={"kind": "StatefulSet", "staticMembership": True}).worker)
        for name, path in (("POD_NAMESPACE", "namespace"), ("POD_NAME", "name")):
            assert given[name] == {"fieldRef": {"fieldPath": f"metadata.{path}"}}
        names = list(given)
        # Kubernetes replaces only variables that come before
        assert names.index("POD_NAME") < names.index("GUARDSTREAM_INPUT__GROUP_INSTANCE_ID")
        assert given["GUARDSTREAM_INPUT__GROUP_INSTANCE_ID"] == (
            f"$(POD_NAMESPACE).{RELEASE}.$(POD_NAME)"
        )

    def test_only_where_it_is_asked_for(self):
        for kind in ("Deployment", "StatefulSet"):
            given = variables(render(workload={"kind": kind}).worker)
            assert "GUARDSTREAM_INPUT__GROUP_INSTANCE_ID" not in given

    def test_workers_load_at_once_and_keep_their_models(self):
        release = render(workload={"kind": "StatefulSet", "replicas": 3})
        spec = release.workload["spec"]
        assert spec["podManagementPolicy"] == "Parallel"
        (claim,) = spec["volumeClaimTemplates"]
        assert claim["metadata"]["name"] in {m["name"] for m in release.worker["volumeMounts"]}
        assert "cache" not in {v["name"] for v in release.pod["volumes"]}
        assert not release.has("PersistentVolumeClaim")
        assert spec["serviceName"] == release.one("Service")["metadata"]["name"]


class TestGpu:
    @pytest.mark.parametrize(
        ("file", "resource", "count"),
        [
            (GPU_3B, "nvidia.com/gpu", 1),
            (GPU_8B, "nvidia.com/gpu", 2),
            (MIG, "nvidia.com/mig-3g.40gb", 1),
        ],
        ids=lambda part: part.stem if hasattr(part, "stem") else None,
    )
    def test_it_is_a_limit_of_the_worker_alone(self, file, resource, count):
        release = render(file)
        assert release.worker["resources"]["limits"][resource] == count
        others = [c for c in release.containers if c is not release.worker]
        assert others
        assert not [c for c in others if "nvidia" in str(c["resources"])]

    def test_there_is_none_without_it(self):
        assert "nvidia" not in str(render(CPU).manifests)

    def test_shared_memory_is_memory(self):
        release = render(GPU_8B)
        (volume,) = (v for v in release.pod["volumes"] if v["name"] == "shared-memory")
        assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "8Gi"}
        assert {"name": "shared-memory", "mountPath": "/dev/shm"} in release.worker["volumeMounts"]

    def test_it_runs_where_it_is_told(self):
        release = render(EVERYTHING)
        for pod in (
            release.pod,
            release.one("Job", "guardstream-check")["spec"]["template"]["spec"],
        ):
            assert pod["runtimeClassName"] == "nvidia"
            assert pod["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-L40S"}
            assert pod["tolerations"][0]["key"] == "nvidia.com/gpu"
        assert release.pod["affinity"].keys() == {"podAntiAffinity"}
        (spread,) = release.pod["topologySpreadConstraints"]
        assert spread["labelSelector"] == release.workload["spec"]["selector"]


class TestModel:
    def test_it_is_downloaded_before_the_worker_starts(self):
        release = render(
            config={"engine": {"model": "a/b", "revision": "0123abc"}},
            model={"token": {"existingSecret": "hub"}},
        )
        (pull,) = release.pod["initContainers"]
        assert pull["command"] == ["hf", "download"]
        assert pull["args"][:2] == ["a/b", "--revision=0123abc"]
        assert variables(pull)["HF_TOKEN"] == {"secretKeyRef": {"name": "hub", "key": "token"}}
        given = variables(release.worker)
        assert given["HF_HUB_OFFLINE"] == "1"
        assert "HF_TOKEN" not in given
        assert given["HF_HOME"] == variables(pull)["HF_HOME"]

    @pytest.mark.parametrize("model", ["demonstration", "/cache/mine"])
    def test_what_is_there_is_not_downloaded(self, model):
        assert "initContainers" not in render(config={"engine": {"model": model}}).pod

    def test_an_air_gapped_worker_asks_nobody(self):
        release = render(model={"offline": True, "cache": {"existingClaim": "models"}})
        assert "initContainers" not in release.pod
        for container in release.containers:
            assert variables(container)["HF_HUB_OFFLINE"] == "1"
        (cache,) = (v for v in release.pod["volumes"] if v["name"] == "cache")
        assert cache["persistentVolumeClaim"]["claimName"] == "models"

    def test_it_can_be_an_image(self):
        release = render(EVERYTHING)
        (volume,) = (v for v in release.pod["volumes"] if v["name"] == "model")
        assert volume["image"]["reference"] == "registry.example/models/guardreasoner-3b:1"
        (mount,) = (m for m in release.worker["volumeMounts"] if m["name"] == "model")
        assert release.settings["engine"]["model"].startswith(mount["mountPath"])

    def test_compiled_kernels_have_one_writer(self):
        def place(**values):
            return variables(render(**values).worker)["VLLM_CACHE_ROOT"]

        assert place() == "/cache/vllm"
        assert place(workload={"kind": "StatefulSet", "replicas": 2}) == "/cache/vllm"
        shared = {"cache": {"accessModes": ["ReadWriteMany"]}}
        assert place(workload={"replicas": 2}, model=shared) == "/tmp/cache/vllm"

    def test_the_cache_outlives_the_release(self):
        assert render().one("PersistentVolumeClaim")["metadata"]["annotations"] == {
            "helm.sh/resource-policy": "keep"
        }
        without = render(model={"cache": {"keep": False}}).one("PersistentVolumeClaim")
        assert "annotations" not in without["metadata"]


class TestJobs:
    def test_helm_test_runs_check(self):
        job = render().one("Job", "guardstream-check")
        assert job["metadata"]["annotations"]["helm.sh/hook"] == "test"
        (container,) = job["spec"]["template"]["spec"]["containers"]
        assert (container["command"], container["args"]) == (["guardstream"], ["check"])

    def test_it_runs_beside_a_worker_whose_volume_it_shares(self):
        for values, claim in (
            ({}, "guardstream-model-cache"),
            ({"workload": {"kind": "StatefulSet"}}, "cache-guardstream-0"),
        ):
            pod = render(**values).one("Job")["spec"]["template"]["spec"]
            assert pod["affinity"]["podAffinity"]
            (cache,) = (v for v in pod["volumes"] if v["name"] == "cache")
            assert cache["persistentVolumeClaim"]["claimName"] == claim
        without = render(model={"cache": {"enabled": False}}).one("Job")["spec"]["template"]["spec"]
        assert "affinity" not in without

    def test_topics_are_created_before_the_workers_come(self):
        release = render(EVERYTHING)
        job = release.one("Job", "guardstream-topics")
        assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
        pod = job["spec"]["template"]["spec"]
        # nothing of the release is there yet but what bears the hook
        assert pod["serviceAccountName"] == "default"
        (settings,) = (v for v in pod["volumes"] if v["name"] == "settings")
        assert settings["configMap"]["name"] == "guardstream-topics"
        (container,) = pod["containers"]
        assert container["args"][0] == "topics"
        given = variables(container)["GUARDSTREAM_KAFKA__PASSWORD"]
        assert given["secretKeyRef"]["name"] == "kafka-admin"

    def test_the_program_takes_the_arguments_of_the_topics_job(self):
        register()
        (container,) = render(EVERYTHING).one("Job", "guardstream-topics")["spec"]["template"][
            "spec"
        ]["containers"]
        command = get_command(app).commands["topics"]
        with command.make_context("topics", container["args"][1:]) as context:
            taken = context.params
        assert (taken["partitions"], taken["output_partitions"]) == (12, 6)
        assert (taken["replicas"], taken["min_insync_replicas"]) == (3, 2)
