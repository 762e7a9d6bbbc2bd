"""What watches the workers, and what keeps some of them up."""

import json

import yaml

from helm import program
from helm.documents import CHART, ROOT
from helm.rendering import RELEASE, run
from tests.chart.release import EVERYTHING, VALUES, render

DOCS = "https://wiki.example/guardstream/operations"


def test_nothing_of_it_is_there_until_wanted():
    release = render()
    for kind in ("PodMonitor", "PrometheusRule", "PodDisruptionBudget", "ScaledObject"):
        assert not release.has(kind)
    assert len(release.all("ConfigMap")) == 1


def test_prometheus_finds_the_workers():
    release = render(EVERYTHING)
    monitor = release.one("PodMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["selector"] == release.workload["spec"]["selector"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("health", "/metrics")
    assert endpoint["port"] in [port["name"] for port in release.worker["ports"]]


def test_the_rules_are_the_project_s():
    rule = render(EVERYTHING).one("PrometheusRule")
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    committed = (ROOT / "monitoring" / "prometheus-rules.yaml").read_text()
    assert rule["spec"] == yaml.safe_load(committed.replace("docs/operations.md", DOCS))


def test_so_is_the_dashboard():
    found = render(EVERYTHING).one("ConfigMap", "guardstream-dashboard")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    committed = (ROOT / "monitoring" / "grafana-dashboard.json").read_text()
    links = committed.replace("docs/operations.md#", f"{DOCS}#")
    assert json.loads(found["data"]["guardstream.json"]) == json.loads(links)


def test_maintenance_takes_one_worker_at_a_time():
    release = render(EVERYTHING)
    spec = release.one("PodDisruptionBudget")["spec"]
    assert spec["maxUnavailable"] == 1
    assert spec["selector"] == release.workload["spec"]["selector"]


def notes(tmp_path, *arguments):
    """NOTES.txt as text; helm itself shows it only beside a cluster."""
    chart = tmp_path / "guardstream"
    for path in CHART.rglob("*"):
        if path.is_file():
            copy = chart / path.relative_to(CHART)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    text = (chart / "templates" / "NOTES.txt").read_text()
    (chart / "templates" / "_notes.tpl").write_text(
        f'{{{{- define "notes" -}}}}\n{text}\n{{{{- end -}}}}\n'
    )
    (chart / "templates" / "notes.yaml").write_text(
        'text: {{ include "notes" . | quote }}\n', encoding="utf-8"
    )
    shown = run(
        *(program.find(), "template", RELEASE, str(chart), "--kube-version=v1.34.0"),
        *("--show-only=templates/notes.yaml", *arguments),
    )
    return yaml.safe_load(shown)["text"]


def test_the_notes_warn_of_what_is_risky(tmp_path):
    said = notes(tmp_path, "--set=workload.kind=StatefulSet,workload.staticMembership=true")
    assert "rollout status statefulset/guardstream" in said
    assert "config.engine.revision is not pinned" in said
    assert "session_timeout_seconds is 10" in said


def test_the_notes_of_what_is_safe_warn_of_nothing(tmp_path):
    said = notes(tmp_path, "--set-string=config.engine.revision=0123abc")
    assert "test guardstream --logs" in said
    assert "NOTE" not in said


def test_the_readme_names_every_values_file():
    readme = (CHART / "README.md").read_text()
    for file in VALUES:
        assert f"`{file.name}`" in readme
