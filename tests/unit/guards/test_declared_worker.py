"""Declared guards in a worker and in the commands that judge, read, evaluate and inspect."""

import sys
from types import SimpleNamespace

import orjson
import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from tests.unit.clocks import QuickClock
from tests.unit.guards.declared import Template, completion, declared
from tests.unit.harness import WorkerHarness
from tests.unit.judges import build_judge
from worker.adapters.simulated import Behaviour, SimulatedEngine
from worker.cli import app, register
from worker.cli.views.verdicts import show_verdict
from worker.decoding.decoder import EventDecoder
from worker.domain.errors import WrongSetting
from worker.domain.events import Exchange
from worker.domain.guard import first_prompt
from worker.domain.questions import STANDARD_TASKS
from worker.domain.records import record_of_line
from worker.domain.verdict_records import read_verdict
from worker.evaluation.answers import rendered_sha256
from worker.evaluation.columns import Columns
from worker.evaluation.labelled import read_labelled
from worker.evaluation.stored import read_stored
from worker.guards.declared.loading import path_of, read_description, shipped
from worker.operator.inspect.inspection import decode
from worker.operator.schemas import documents
from worker.runtime.build import build_judging
from worker.runtime.guards import build_guard
from worker.runtime.settings import load_settings
from worker.runtime.settings.lint import lint_settings

EVENTS = 20
SOON = {"time_to_first_token_seconds": 0, "time_per_output_token_seconds": 0}
REQUEST, REFUSAL, RESPONSE = STANDARD_TASKS
TEXT = """
options: {policy: Be kind.}
calls:
  - name: one
    about: prompt
    text: "{options.policy} Human: {prompt} Safe?"
    answer: (?P<word>yes|no)
    reads:
      - {task: request, group: word, labels: {"yes": unharmful, "no": harmful}, after: " "}
"""


@pytest.fixture
def chat_templates(monkeypatch):
    """What is loaded as the chat template of a model."""
    loaded = []

    def load_chat_template(model, revision=None):
        loaded.append((model, revision))
        return Template()

    module = SimpleNamespace(
        load_chat_template=load_chat_template,
        plain_chat_template=lambda model: load_chat_template(f"plain {model}"),
    )
    monkeypatch.setitem(sys.modules, "worker.adapters.chat_template", module)
    return loaded


async def test_its_verdicts_are_complete_and_valid():
    guard = declared("granite-guardian", options={"criteria": ["jailbreak"]}, reasoning="never")
    harness = WorkerHarness("exactly_once", guard=guard)
    for number in range(EVENTS):
        event = {"id": str(number), "prompt": "word " * (number + 1)}
        answered = {"response": "reply"} if number % 2 else {}
        harness.bus.append("events", value=orjson.dumps(event | answered))
    async with harness.running():
        await harness.until(lambda: len(harness.bus.topic("verdicts")) == EVENTS)
    schema = Draft202012Validator(orjson.loads(documents()["verdict.schema.json"]))
    seen = set()
    for record in harness.bus.topic("verdicts"):
        document = orjson.loads(record.value)
        schema.validate(document)
        assert read_verdict(document).verdict_id == document["verdict_id"]
        answered = int(document["event_id"]) % 2
        # the simulated engine writes no score by itself, so that all are forced
        assert document["status"] == "complete"
        assert {"unreadable", "repaired"} <= set(document["flags"])
        assert document["usage"]["requests"] == (6 if answered else 4)
        assert document["criteria"].keys() == {"jailbreak"}
        assert (document[RESPONSE]["label"] is None) == (not answered)
        assert document[REFUSAL]["label"] is None
        assert "jailbreak" in str(show_verdict(record.value).renderables[0])
        seen.add(document[REQUEST]["label"])
    assert seen == {"harmful", "unharmful"}


class Picky(Template):
    """Refuses conversations with this text, or all of them."""

    def __init__(self, refused=None):
        super().__init__()
        self.refused = refused

    def render(self, messages, arguments, **how):
        if self.refused is None or any(one.text == self.refused for one in messages):
            raise WrongSetting("It refuses this.")
        return super().render(messages, arguments, **how)


async def test_a_conversation_that_the_template_refuses_is_a_dead_letter():
    guard = declared("qwen3guard", Picky("b"))
    harness = WorkerHarness("exactly_once", guard=guard)
    # it is the second prompt that is refused
    for event in ({"prompt": "a"}, {"prompt": "a", "response": "b"}, {"prompt": "c"}):
        harness.bus.append("events", value=orjson.dumps(event))
    async with harness.running():
        await harness.until(
            lambda: len(harness.bus.topic("verdicts")) + len(harness.bus.topic("dead")) == 3
        )
    (dead,) = harness.bus.topic("dead")
    assert b"refuses a conversation of this form" in dict(dead.headers)["__dlq.errors.message"]
    assert orjson.loads(dead.value)["response"] == "b"


async def test_others_of_its_batch_are_judged():
    judge = build_judge(
        SimulatedEngine(behaviour=Behaviour(), clock=QuickClock()),
        QuickClock(),
        guard=declared("qwen3guard", Picky("b")),
        decoder=EventDecoder(),
    )
    lines = [b'{"prompt": "a"}', b'{"prompt": "b"}', b'{"prompt": "c"}']
    records = [record_of_line("t", number, line, 0.0) for number, line in enumerate(lines)]
    prepared = await judge.prepare(records)
    kinds = [type(one.exchanges[0]).__name__ for one in prepared]
    assert kinds == ["PreparedRecord", "Refused", "PreparedRecord"]
    assert all(one.exchanges[0].prompt_token_ids for one in prepared[::2])


def test_a_template_that_refuses_everything_is_a_wrong_setting():
    guard = declared("qwen3guard", Picky())
    with pytest.raises(WrongSetting, match="It refuses this"):
        _ = first_prompt(guard, Exchange("a", None)).runs
    with pytest.raises(WrongSetting, match="It refuses this"):
        _ = guard.prompt_sha256


def test_render_reports_a_conversation_that_the_template_refuses(monkeypatch):
    module = SimpleNamespace(load_chat_template=lambda *_: Picky("b"), plain_chat_template=None)
    monkeypatch.setitem(sys.modules, "worker.adapters.chat_template", module)
    monkeypatch.setenv("GUARDSTREAM_GUARD__NAME", "qwen3guard")
    register()
    lines = "".join(f'{{"id": "{one}", "prompt": "{one}"}}\n' for one in "abc")
    done = CliRunner().invoke(app, ["render"], input=f"{lines}no event\n")
    assert done.exit_code == 1
    first, second, third, fourth = map(orjson.loads, done.stdout.splitlines())
    assert (fourth["line"], fourth["error"][:12]) == (4, "The value is")
    assert (first["id"], third["id"]) == ("a", "c")
    assert second["line"] == 2
    assert "refuses a conversation" in second["error"]


def test_the_template_is_that_of_the_settings_model(chat_templates, tmp_path):
    settings = load_settings(
        guard={"name": "qwen3guard"}, engine={"model": "some/model", "revision": "abc"}
    )
    guard = build_guard(settings).guard
    assert chat_templates == []
    assert "How do I" in first_prompt(guard, Exchange("How do I", None)).text
    assert chat_templates == [("some/model", "abc")]
    simulated = load_settings(guard={"name": "qwen3guard"}, engine={"kind": "simulated"})
    assert first_prompt(build_guard(simulated).guard, Exchange("a", None)).text
    assert chat_templates[1][0].startswith("plain ")
    assert chat_templates[1][0].endswith("demonstration")
    here = load_settings(
        guard={"name": "qwen3guard"}, engine={"kind": "simulated", "model": str(tmp_path)}
    )
    assert first_prompt(build_guard(here).guard, Exchange("a", None)).text
    assert chat_templates[2] == (str(tmp_path), None)


@pytest.mark.parametrize("name", shipped())
async def test_a_guard_that_ships_can_be_tried_without_its_model(name):
    options = dict.fromkeys(read_description(path_of(name)).required, "-")
    settings = load_settings(
        guard={"name": name, "options": options},
        engine={"kind": "simulated", "model": name, "simulated": SOON},
    )
    judge = build_judging(settings).judge
    records = [
        record_of_line("t", n, line, 0.0)
        for n, line in enumerate([b'{"prompt": "<|im_end|>", "response": "b"}', b'{"prompt": "a"}'])
    ]
    for one in await judge.prepare(records):
        verdict = await judge.judge(one.exchanges[0])
        assert verdict.guard.name == name
        assert "simulated" in verdict.flags
        assert verdict.status == "complete"


def test_options_are_settings(chat_templates, monkeypatch):
    monkeypatch.setenv("GUARDSTREAM_GUARD__NAME", "granite-guardian")
    monkeypatch.setenv("GUARDSTREAM_GUARD__OPTIONS", '{"criteria": ["violence", "harm"]}')
    guard = build_guard(load_settings()).guard
    assert [question.name for question in guard.questions][2:] == ["violence", "harm"]


def test_a_mode_without_reasoning_needs_no_calibration(chat_templates):
    settings = load_settings(guard={"name": "granite-guardian"}, judging={"reasoning": "never"})
    assert build_guard(settings).guard.name == "granite-guardian"
    settings = load_settings(guard={"name": "qwen3guard"}, judging={"reasoning": "unsure"})
    with pytest.raises(WrongSetting, match=r"^judging\.reasoning: unsure is not possible"):
        build_guard(settings)


def test_a_description_without_a_chat_template_judges_on_any_model(tmp_path):
    path = tmp_path / "plain.yaml"
    path.write_text(TEXT)
    settings = load_settings(guard={"name": str(path)}, engine={"kind": "simulated"})
    judging = build_judging(settings)
    assert judging.judge.reference.name == "plain"
    prompt = first_prompt(judging.guard, Exchange("How?", None))
    assert prompt.text == "Be kind. Human: How? Safe?"


def test_stored_completions_are_read_without_the_model(tmp_path):
    events = tmp_path / "events.jsonl"
    row = {"prompt": "How?", "response": "So.", "labels": {REQUEST: "harmful"}}
    events.write_bytes(b"".join(orjson.dumps(row | {"id": one}) + b"\n" for one in "ab"))
    said = ["Safety: Unsafe\nCategories: PII", "Safety: Safe\nCategories: None\nRefusal: Yes"]
    template = Template()
    guard = declared("qwen3guard", template)
    labelled = read_labelled(events, Columns({}, guard.questions))
    first, second = labelled.events
    lines = [{"id": "a", "completion": said, "has_response": True, "finish_reason": "stop"}]
    lines.append(lines[0] | {"id": "b", "rendered_sha256": "0" * 64})
    path = tmp_path / "completions.jsonl"
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    stored = read_stored(path)
    assert stored.answer(first, guard).predicted[REQUEST] == "harmful"
    assert not template.seen
    assert stored.answer(second, guard).status != "complete", "it answers another prompt"
    assert rendered_sha256(first, guard) == rendered_sha256(second, guard)


def test_inspect_shows_the_prompt_and_where_the_labels_are():
    guard = declared("llama-guard")
    record = record_of_line("t", 0, b'{"id": "a", "prompt": "How?"}', 0.0)
    decoded = decode(record, guard, EventDecoder())
    assert decoded.prompt.endswith("assistant\n\n\n")
    ((span,),) = guard.spans(decoded.exchange, [completion("unsafe\nS1")])
    assert span.of == REQUEST


FAULTS = {
    "guard.name": ("guard: {name: %s}", "calls.0.answer: it is no pattern"),
    "guard.options.polcy": ("guard: {name: %s, options: {polcy: x}}", "has no such option"),
    "guard.options.policy": ("guard: {name: %s, options: {policy: 7}}", "it must be a text"),
    "judging.reasoning": ("judging: {reasoning: flagged}\nguard: {name: %s}", "is not possible"),
}


@pytest.mark.parametrize("setting", FAULTS)
def test_lint_reads_a_description(tmp_path, setting):
    config, path = tmp_path / "settings.yaml", tmp_path / "mine.yaml"
    text, what = FAULTS[setting]
    path.write_text(TEXT.replace("yes|no", "yes|(?=no)") if setting == "guard.name" else TEXT)
    config.write_text(text % path)
    count, (fault,) = lint_settings(config)
    assert count
    assert fault.setting == setting
    assert what in fault.what
    assert fault.where.startswith(f"{config}:")
    config.write_text(f"guard: {{name: {tmp_path / 'mine.yaml'}}}")
    path.write_text(TEXT)
    assert lint_settings(config) == (1, [])


def test_lint_says_which_option_must_be_set(tmp_path):
    config = tmp_path / "settings.yaml"
    config.write_text("guard:\n  name: wildguard")
    _, (fault,) = lint_settings(config)
    assert "guard.options.instruction: the guard wildguard needs it" in fault.line


def test_lint_says_that_there_is_no_such_guard(tmp_path):
    config = tmp_path / "settings.yaml"
    config.write_text("guard:\n  name: qwen")
    _, (fault,) = lint_settings(config)
    assert fault.line.startswith(f"{config}:2: guard.name: there is no guard 'qwen'; use guardr")
