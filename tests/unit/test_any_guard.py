"""A guard with other questions and labels passes through everything that handles verdicts."""

import orjson
import pytest
from jsonschema import Draft202012Validator
from prometheus_client import generate_latest

from monitoring.__main__ import documents
from tests.unit.harness import WorkerHarness
from tests.unit.three_levels import SELF_HARM, TONE, ThreeLevels
from worker.cli.views.evaluation import show_evaluation
from worker.cli.views.verdicts import show_verdict
from worker.domain.questions import STANDARD_TASKS
from worker.domain.verdict_records import read_verdict
from worker.evaluation.analysis import evaluate
from worker.evaluation.answers import Answer
from worker.evaluation.columns import Columns
from worker.evaluation.labelled import read_labelled
from worker.evaluation.report import render_report
from worker.evaluation.results import Provenance
from worker.guards import GUARDS
from worker.operator.schemas import documents as schemas
from worker.operator.top.changes import Change
from worker.operator.top.recent import read_recent
from worker.operator.top.scrapes import read_metrics
from worker.operator.top.view import WorkerStatus, view_of
from worker.runtime.build import build_judging
from worker.runtime.settings import load_settings
from worker.telemetry import Telemetry, names

EVENTS = 40


async def verdicts_of_a_worker():
    harness = WorkerHarness("exactly_once", guard=ThreeLevels())
    for number in range(EVENTS):
        event = {"id": str(number), "prompt": "word " * (number + 1)}
        answered = number % 2 == 0
        harness.bus.append(
            "events", value=orjson.dumps(event | ({"response": "reply"} if answered else {}))
        )
    async with harness.running():
        await harness.until(lambda: len(harness.bus.topic("verdicts")) == EVENTS)
    return harness, harness.bus.topic("verdicts")


def scrape(telemetry, at):
    telemetry.info(**dict.fromkeys(names.INFO.attributes, "a"))
    return read_metrics(generate_latest(telemetry.registry).decode(), at)


async def test_its_verdicts_are_complete_and_valid():
    _, records = await verdicts_of_a_worker()
    schema = Draft202012Validator(orjson.loads(schemas()["verdict.schema.json"]))
    seen = set()
    for record in records:
        document = orjson.loads(record.value)
        schema.validate(document)
        assert read_verdict(document).verdict_id == document["verdict_id"]
        answered = int(document["event_id"]) % 2 == 0
        assert document["status"] == "complete"
        assert not any(document[task]["label"] for task in STANDARD_TASKS)
        assert document["criteria"].keys() == {"self_harm", *(["tone"] if answered else [])}
        assert document["usage"]["requests"] == 1 + answered
        assert document["severity"] == document["criteria"]["self_harm"]["label"]
        assert all(0 < reading["score"] < 1 for reading in document["criteria"].values())
        assert dict(record.headers)["guardstream.criteria.self_harm"].decode() in SELF_HARM.labels
        assert not document["reasoned"]
        seen.add(document["criteria"]["self_harm"]["label"])
    assert seen == set(SELF_HARM.labels)


async def test_a_wrong_label_would_not_be_valid():
    _, records = await verdicts_of_a_worker()
    document = orjson.loads(records[0].value)
    document["prompt_harmfulness"]["label"] = "severe"
    schema = Draft202012Validator(orjson.loads(schemas()["verdict.schema.json"]))
    assert [error.path[0] for error in schema.iter_errors(document)] == ["prompt_harmfulness"]


async def test_the_console_shows_its_questions():
    harness, records = await verdicts_of_a_worker()
    before = scrape(Telemetry(harness.clock, questions=ThreeLevels.questions), at=0.0)
    page = scrape(harness.telemetry, at=10.0)
    recent = read_recent(orjson.dumps(harness.telemetry.recent()))
    view = view_of([WorkerStatus("w", Change(before, page), recent=recent)], now=10.0)
    shares = {mix.task: mix.shares for mix in view.mixes}
    assert shares.keys() == {"self_harm", "tone"}
    assert set(shares["self_harm"]) == set(SELF_HARM.labels)
    assert shares["tone"]["none"] == pytest.approx(0.5)
    assert set(shares["tone"]) <= {*TONE.labels, "none"}
    (newest, *_) = view.recent
    assert newest.labels["self_harm"] in SELF_HARM.labels
    shown = str(show_verdict(records[0].value).renderables[0])
    assert "self_harm" in shown


def test_one_line_in_the_registry_makes_it_a_setting(monkeypatch):
    monkeypatch.setitem(GUARDS, "three_levels", ThreeLevels.from_options)
    settings = load_settings(guard={"name": "three_levels"}, engine={"kind": "simulated"})
    judging = build_judging(settings)
    assert judging.judge.reference.name == "three_levels"
    assert [question.name for question in judging.guard.questions] == ["self_harm", "tone"]


def test_labels_are_scored_as_any_others(tmp_path):
    path = tmp_path / "events.jsonl"
    wanted = ["severe", "some", "none", "severe"]
    path.write_bytes(
        b"".join(
            orjson.dumps({"id": str(n), "prompt": "a", "labels": {"self_harm": label}}) + b"\n"
            for n, label in enumerate(wanted)
        )
    )
    labelled = read_labelled(path, Columns({}, ThreeLevels.questions))
    assert not labelled.left_out
    predicted = ["severe", "none", "none", None]
    answers = {
        str(n): Answer("complete" if label else "inconclusive", {"self_harm": label})
        for n, label in enumerate(predicted)
    }
    provenance = Provenance("f", "0", None, None, None, "now", "1")
    found = evaluate(labelled, answers, provenance=provenance, slices=(), resamples=100, seed=1)
    assert found.tasks.keys() == {"self_harm", "tone"}
    figures = found.tasks["self_harm"]
    assert figures.confusion["some"] == {"none": 1, "some": 0, "severe": 0, "unreadable": 0}
    assert (figures.positive, figures.support, figures.unreadable) == ("severe", 2, 1)
    assert figures.recall.value == 0.5
    assert found.tasks["tone"].labelled == 0
    page = render_report(found, labelled.events)
    assert "Self-harm?" in page
    show_evaluation(found)


def test_a_label_of_another_guard_is_refused(tmp_path):
    path = tmp_path / "events.jsonl"
    labels = {"self_harm": "harmful"}
    path.write_bytes(orjson.dumps({"id": "a", "prompt": "a", "labels": labels}))
    (row,) = read_labelled(path, Columns({}, ThreeLevels.questions)).left_out
    assert row.reason == "harmful is no label of self_harm: use none, some, severe or null."


def test_the_dashboard_and_the_rules_name_no_question():
    written = documents()
    for question in STANDARD_TASKS:
        assert not [name for name, text in written.items() if question in text]
    assert any("$task" in text for text in written.values())
