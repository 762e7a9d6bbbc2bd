"""What a pod may do, and whom it may talk to."""

import json

import pytest

from tests.chart.release import EVERYTHING, VALUES, render, variables


@pytest.mark.parametrize("file", [*VALUES, EVERYTHING], ids=lambda file: file.stem)
class TestPods:
    def test_none_has_a_token(self, file):
        release = render(file)
        assert release.one("ServiceAccount")["automountServiceAccountToken"] is False
        for pod in release.pods:
            assert pod["automountServiceAccountToken"] is False

    def test_none_is_root(self, file):
        for pod in render(file).pods:
            context = pod["securityContext"]
            assert context["runAsNonRoot"] is True
            assert (context["runAsUser"], context["runAsGroup"]) == (2000, 0)
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}

    def test_containers_may_do_nothing_special(self, file):
        for container in render(file).containers:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }

    def test_what_is_written_lies_in_volumes(self, file):
        for container in render(file).containers:
            places = [m["mountPath"] for m in container["volumeMounts"] if not m.get("readOnly")]
            assert "/tmp" in places
            for name, value in variables(container).items():
                if name == "HOME" or name.endswith(("_HOME", "_ROOT", "_DIR", "_BASE", "_PATH")):
                    assert any(f"{value}/".startswith(f"{place}/") for place in places), name


def test_a_platform_may_choose_the_user():
    given = {"runAsUser": None, "runAsGroup": None, "fsGroup": None}
    context = render(securityContext=given).pod["securityContext"]
    assert context.keys() == {"runAsNonRoot", "seccompProfile"}


class TestNetworkPolicy:
    def test_it_is_off_until_wanted(self):
        assert not render().has("NetworkPolicy")

    def test_it_covers_workers_and_jobs(self):
        release = render(EVERYTHING)
        policies = release.all("NetworkPolicy")
        pods = [release.workload["spec"]["template"]]
        pods += [job["spec"]["template"] for job in release.all("Job")]
        for pod in pods:
            assert sum(selects(p["spec"]["podSelector"], pod) for p in policies) == 1
        for policy in policies:
            assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]

    def test_only_the_monitoring_comes_in(self):
        (rule,) = render(EVERYTHING).one("NetworkPolicy", "guardstream")["spec"]["ingress"]
        assert [port["port"] for port in rule["ports"]] == ["health"]
        assert "namespaceSelector" in rule["from"][0]
        topics = render(EVERYTHING).one("NetworkPolicy", "guardstream-topics")["spec"]
        assert "ingress" not in topics

    def test_names_kafka_and_the_collector_can_be_reached(self):
        assert egress(render(EVERYTHING)) == [[53, 53], [9093, 9094, 9095], [4318], [8443]]

    def test_so_can_hugging_face_unless_offline(self):
        on = {"networkPolicy": {"enabled": True}}
        assert egress(render(**on)) == [[53, 53], [9092], [443]]
        offline = {"offline": True, "cache": {"existingClaim": "models"}}
        assert egress(render(**on, model=offline)) == [[53, 53], [9092]]


def egress(release):
    rules = release.one("NetworkPolicy", "guardstream")["spec"]["egress"]
    return [[port["port"] for port in rule["ports"]] for rule in rules]


def selects(selector, pod):
    labels = pod["metadata"]["labels"]
    return selector["matchLabels"].items() <= labels.items() and all(
        labels[rule["key"]] in rule["values"] for rule in selector.get("matchExpressions", ())
    )


def test_no_password_stands_anywhere():
    text = json.dumps(render(EVERYTHING).manifests)
    assert '"Secret"' not in text
