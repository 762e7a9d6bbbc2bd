"""Dashboard and rules: made anew they are the same, and name nothing that is not there."""

import json
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from monitoring import foreign, reference, rules
from monitoring.__main__ import DOCS, documents
from monitoring.dashboard import UNUSED, build
from monitoring.grafana import COLUMNS
from monitoring.promql import WORKER, Scope, series_in
from worker.telemetry import names

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "monitoring"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
TESTS = yaml.safe_load((FOLDER / "prometheus-rules.test.yaml").read_text(encoding="utf-8"))

PANELS = [panel for panel in build(DOCS)["panels"] if panel["type"] != "row"]
ALERTS = {alert.name: alert for alert in rules.alerts()}
OURS = {name for metric in names.METRICS for name in metric.series}
OTHERS = {name for metric in (*foreign.PROCESS, foreign.UP) for name in metric.series}
VLLM = {name for metric in foreign.VLLM for name in metric.series}


def test_the_committed_files_are_what_the_metrics_say():
    committed = {name: (FOLDER / name).read_text(encoding="utf-8") for name in documents()}
    assert committed == documents(), "run: make monitoring"
    assert reference.renewed(OPERATIONS) == OPERATIONS, "run: make monitoring"
    assert reference.table() in OPERATIONS


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("up", {"up"}),
        ('sum by (a, le) (rate(b_bucket{c="d{e}",f!~"g"}[5m]))', {"b_bucket"}),
        ("max without(x) (a:b:c) / on (y) group_left (z) d offset 5m", {"a:b:c", "d"}),
        ("a > 1e3 unless b == bool Inf or vector(0)", {"a", "b"}),
        ("rate(vllm:x_total[$__rate_interval])", {"vllm:x_total"}),
        ("label_replace(a, 'b', '$1', `c`, \"d\") and ignoring(e) deriv(f[30m:1m])", {"a", "f"}),
    ],
)
def test_series_are_found_in_expressions(expression, found):
    assert series_in(expression) == found


def test_every_series_that_is_read_is_there():
    assert reference.series_read() <= OURS | OTHERS | VLLM


def test_rules_read_records_only_where_rules_are():
    recorded = rules.recordings().keys()
    assert not recorded & {n for _, shown in reference.shown() for n in series_in(shown)}


def test_every_metric_is_shown():
    seen = {name for _, shown in reference.shown() for name in series_in(shown)}
    for metric in names.METRICS:
        assert bool(seen & set(metric.series)) != (metric.name in UNUSED), metric.name
    assert UNUSED.keys() <= {metric.name for metric in names.METRICS}


def test_a_label_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="no label"):
        Scope().select(names.OUTCOMES, 'status="verdict"')
    with pytest.raises(ValueError, match="no label"):
        Scope().rate(names.OUTCOMES, by=("status",))


def test_vllm_has_these_metrics():
    found = find_spec("vllm")
    if found is None or found.origin is None:
        pytest.skip("vllm is not installed")
    # read, not imported: that takes 20 s
    source = (Path(found.origin).parent / "v1" / "metrics" / "loggers.py").read_text()
    registered = {
        name: kind for kind, name in re.findall(r'_(\w+)_cls\(\s*name="(vllm:\w+)"', source)
    }
    for metric in foreign.VLLM:
        assert registered[metric.base] == metric.kind


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_says_what_it_shows(panel):
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    for target in panel["targets"]:
        labels = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        kept = re.search(r"by \(([^)]*)\)", target["expr"])
        assert labels <= (set(kept[1].split(", ")) if kept else set(WORKER))


def test_panels_neither_overlap_nor_leave_the_grid():
    taken = set()
    for panel in build(DOCS)["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_numbers_of_panels_are_their_own():
    numbers = [panel["id"] for panel in build(DOCS)["panels"]]
    assert len(set(numbers)) == len(numbers)
    assert json.loads(documents()["grafana-dashboard.json"]) == build(DOCS)


def anchors(page):
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_links_lead_somewhere():
    within = re.findall(r"\]\(#([\w-]+)\)", OPERATIONS)
    links = [link["url"] for link in build(DOCS)["links"]]
    books = [alert.rule(DOCS)["annotations"]["runbook_url"] for alert in ALERTS.values()]
    assert {url.partition("#")[2] for url in (*links, *books)} | set(within) <= anchors(OPERATIONS)
    assert {url.partition("#")[0] for url in (*links, *books)} == {DOCS}


def test_the_page_names_what_is_there():
    told = set(re.findall(r"^### (Guardstream\w+)$", OPERATIONS, re.MULTILINE))
    assert told == ALERTS.keys()
    written = set(
        re.findall(r"\b(?:guardstream|messaging|gen_ai)_\w+|guardstream:[\w:]+", OPERATIONS)
    )
    bases = {metric.base for metric in names.METRICS}
    labels = {label for metric in names.METRICS for label in metric.labels}
    assert written <= OURS | bases | labels | rules.recordings().keys()
    assert rules.recordings().keys() <= written


def test_every_alert_is_tried_firing_and_silent():
    for name in ALERTS:
        tried = [
            case
            for test in TESTS["tests"]
            for case in test.get("alert_rule_test", ())
            if case["alertname"] == name
        ]
        assert any(case["exp_alerts"] for case in tried), name
        assert any(not case["exp_alerts"] for case in tried), name


def promtool():
    if found := shutil.which("promtool"):
        return found
    if go := shutil.which("go"):
        asked = subprocess.run(  # noqa: S603
            [go, "env", "GOPATH"], capture_output=True, text=True, check=False
        )
        return shutil.which("promtool", path=str(Path(asked.stdout.strip()) / "bin"))
    return None


@pytest.mark.parametrize(
    ("what", "file"), [("check", "prometheus-rules.yaml"), ("test", "prometheus-rules.test.yaml")]
)
def test_promtool_agrees(what, file):
    if (tool := promtool()) is None:
        pytest.skip("promtool is not here: docs/operations.md says where to get it")
    ran = subprocess.run(  # noqa: S603
        [tool, what, "rules", str(FOLDER / file)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
