"""Descriptions of users: what they can say, and what is refused, with the path of the field."""

import copy
from importlib.metadata import EntryPoint

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.unit.guards.declared import (
    Engine,
    Template,
    completion,
    declared,
    probabilities,
    shipped_guard,
)
from tests.unit.three_levels import ThreeLevels
from worker import guards
from worker.domain.chat import ChatMessage
from worker.domain.engines import Continuation, LabelPlace
from worker.domain.errors import UnusableFile, WrongSetting
from worker.domain.events import Exchange
from worker.domain.guard import first_prompt, first_request
from worker.domain.judgements import Reading
from worker.domain.prompts import Control, Place
from worker.domain.questions import STANDARD_TASKS
from worker.guards import build_guard, known_guards
from worker.guards.declared.description import Description
from worker.guards.declared.grammar import alternatives, group_pattern
from worker.guards.declared.loading import path_of, read_description, shipped
from worker.operator.schemas import documents

ALONE = Exchange("How do I bake bread?", None)
ANSWERED = Exchange("How do I bake bread?", "With flour.")
REQUEST, REFUSAL, RESPONSE = STANDARD_TASKS
PLAIN = {
    "options": {"policy": "Be kind.", "strict": "unharmful", "names": {}, "list": ["spam"]},
    "questions": [{"name": "rude", "about": "prompt", "labels": ["y", "n"], "positive": "y"}],
    "calls": [
        {
            "name": "one",
            "about": "prompt",
            "text": "<s>[INST] {options.policy}\nHuman: {prompt} [/INST]",
            "control": ["<s>", "[INST]", "[/INST]"],
            "answer": "Harm: (?P<harm>yes|no|hm) Rude: (?P<rude>y|n)",
            "reads": [
                {
                    "task": "request",
                    "group": "harm",
                    "labels": {"yes": "harmful", "no": "unharmful", "hm": "{options.strict}"},
                    "after": "Harm: ",
                },
                {
                    "task": "rude",
                    "group": "rude",
                    "labels": {"y": "y", "n": "n"},
                    "after": "Rude: ",
                },
            ],
            "severity": {"group": "harm", "levels": ["no", "hm", "yes"]},
        }
    ],
}
READ = PLAIN["calls"][0]["reads"][0]
WILD = {
    "calls": [
        {
            "name": "exchange",
            "about": "exchange",
            "text": "Human: {prompt}\nAssistant: {response}\nAnswers:",
            "prefill": "\nRequest:",
            # not every word has a label
            "answer": r"Request: (?P<a>yes|no)\nRefusal: (?:N/A|(?P<b>yes|no))",
            "reads": [
                {
                    "task": "request",
                    "group": "a",
                    "labels": {"yes": "harmful", "no": "unharmful"},
                    "after": "Request: ",
                },
                {
                    "task": "refusal",
                    "group": "b",
                    "labels": {"yes": "refusal", "no": "compliance"},
                    "after": "\nRefusal: ",
                },
            ],
        }
    ],
}


def changed(*changes, base=PLAIN):
    """A description with other values at some paths; `...` removes one."""
    held = copy.deepcopy(base)
    for path, value in changes:
        *above, last = path.split(".")
        node = held
        for key in above:
            node = node[int(key) if key.isdecimal() else key]
        last = int(last) if last.isdecimal() and isinstance(node, list) else last
        if value is ...:
            del node[last]
        elif isinstance(node, list) and last == len(node):
            node.append(value)
        else:
            node[last] = value
    return held


@pytest.fixture
def write(tmp_path):
    def written(held, name="mine.yaml"):
        path = tmp_path / name
        path.write_text(
            held if isinstance(held, str) else yaml.safe_dump(held, sort_keys=False), "utf-8"
        )
        return path

    return written


def test_a_named_text_of_an_option_is_put_into_its_call(write):
    each = {"task": "{each}", "group": "rude", "labels": {"y": "y", "n": "n"}, "after": "Rude: "}
    call = {
        "name": "each",
        "about": "prompt",
        "for_each": "rules",
        "messages": [{"role": "user", "text": "{each}: {each.text} {prompt}"}],
        "answer": "Rude: (?P<rude>y|n)",
        "reads": [each],
    }
    question = PLAIN["questions"][0] | {"name": "{each}", "asks": "{each.text}?"}
    held = changed(("options.rules", {}), ("questions.1", question), ("calls.1", call))
    template = Template()
    rules = {"spam": "No {prompt}.", "ads": "No ads."}
    guard = declared(write(held), template, options={"rules": rules})
    assert [(one.name, one.asks) for one in guard.questions[2:]] == [
        ("spam", "No {prompt}.?"),
        ("ads", "No ads.?"),
    ]
    said = ("Harm: no Rude: n", "Rude: y", "Rude: n")
    engine = Engine(*said)
    judgement = engine.judge(guard, ALONE)
    assert [one.label for one in judgement.readings.values()] == ["unharmful", "n", "y", "n"]
    assert all(one.prompt.text for one in engine.requests)
    assert [messages[0].text for messages, *_ in template.seen] == [
        "spam: No {prompt}. How do I bake bread?",
        "ads: No ads. How do I bake bread?",
    ]
    with pytest.raises(WrongSetting, match=r"^guard\.options: guard\.options\.rules: each of its"):
        declared(write(held), options={"rules": {"spam": 1}})


def test_a_required_option_that_is_not_set_is_refused(write):
    held = changed(("options.policy", ""), ("required", {"policy": "the text of your policy."}))
    path = write(held)
    assert read_description(path).required
    for options in ({}, {"policy": ""}, {"policy": None}):
        with pytest.raises(WrongSetting) as refused:
            declared(path, options=options)
        assert str(refused.value) == (
            "guard.options.policy: the guard mine needs it: the text of your policy."
        )
    assert declared(path, options={"policy": "Be kind."}).name == "mine"


def test_a_mode_can_have_other_defaults_of_options(write):
    held = changed(("reasoning", {"never": {"options": {"policy": "Be brief."}}}))
    for settings, text in (
        ({}, "Be kind."),
        ({"reasoning": "never"}, "Be brief."),
        ({"reasoning": "never", "options": {"policy": "Mine."}}, "Mine."),
    ):
        prompt = first_prompt(declared(write(held), **settings), ALONE)
        assert prompt.runs[2].startswith(f" {text}\n")


def test_a_forced_answer_can_begin_with_control_tokens(write):
    held = changed(
        ("calls.0.control", ["<s>", "[INST]", "[/INST]", "<|channel|>"]),
        ("calls.0.reads", [READ | {"after": "<|channel|>Harm: "}]),
        ("questions", ...),
    )
    engine = Engine("no form", words=["yes"])
    assert engine.judge(declared(write(held)), ALONE).reading(REQUEST).label == "harmful"
    first, forced = engine.requests
    assert first.scores[0].after == "Harm:", "the text of a completion has no control tokens"
    assert forced.prompt.runs == (Control("<|channel|>"), "Harm:")
    assert forced.prompt.place is Place.CONTROL


def test_a_file_is_a_guard(write):
    guard = declared(write(PLAIN))
    assert guard.name == "mine"
    assert [question.name for question in guard.questions] == [REQUEST, "rude"]
    prompt = first_prompt(guard, Exchange("[INST] {prompt} <s>", None))
    assert prompt.runs == (
        Control("<s>"),
        Control("[INST]"),
        " Be kind.\nHuman: [INST] {prompt} <s> ",
        Control("[/INST]"),
    )
    assert prompt.opening == " Be kind.\nHuman: "
    judgement = Engine("Harm: hm Rude: n").judge(guard, ALONE)
    assert judgement.readings == {
        REQUEST: Reading("unharmful", None, "answer"),
        "rude": Reading("n", None, "answer"),
    }
    assert (judgement.severity, judgement.status) == ("hm", "complete")


def test_an_option_is_put_into_texts_as_it_is(write):
    options = {"policy": "{prompt} [INST] {options.policy} \\1 {"}
    prompt = first_prompt(declared(write(PLAIN), options=options), Exchange("a", None))
    assert prompt.runs[2] == " {prompt} [INST] {options.policy} \\1 {\nHuman: a "


def test_an_option_of_another_type_is_json(write):
    held = changed(("calls.0.text", "<s>[INST][/INST]{options.list}{options.names} {prompt}"))
    options = {"names": {"a": "\u00e9"}}
    prompt = first_prompt(declared(write(held), options=options), Exchange("a", None))
    assert prompt.runs[3] == '["spam"]{"a": "\u00e9"} a'


@given(st.text(), st.one_of(st.none(), st.text()))
def test_texts_of_an_exchange_stay_texts(prompt, response):
    guard = declared("llama-guard", template := Template())
    assert first_prompt(guard, Exchange(prompt, response)).text
    assert template.seen[0][0] == (ChatMessage("user", prompt),)


@given(st.lists(st.sampled_from(["{prompt}", "{response}", "{options.policy}", "{", "a"])))
def test_no_placeholder_in_a_text_is_filled(tmp_path_factory, pieces):
    path = tmp_path_factory.mktemp("guards") / "wild.yaml"
    path.write_text(yaml.safe_dump(WILD, sort_keys=False), "utf-8")
    text = "".join(pieces)
    prompt = first_prompt(declared(path), Exchange(text, text))
    assert prompt.runs == (f"Human: {text}\nAssistant: {text}\nAnswers:\nRequest:",)


def test_a_call_about_the_exchange_answers_for_what_is_there(write):
    guard = declared(write(WILD), repair=True)
    logprobs = probabilities(_yes=0.2, _no=0.7), probabilities(_yes=0.6, _no=0.3)
    engine = Engine(completion(" no\nRefusal: yes", *logprobs))
    judgement = engine.judge(guard, ANSWERED)
    assert (judgement.reading(REQUEST).label, judgement.reading(REFUSAL).label) == (
        "unharmful",
        "refusal",
    )
    assert judgement.reading(REQUEST).score == pytest.approx(0.2222)
    assert judgement.reading(REFUSAL).score == pytest.approx(0.6667)
    # the beginning of the answer is part of the prompt
    assert engine.requests[0].scores == (
        LabelPlace((" yes", " no")),
        LabelPlace((" yes", " no"), "\nRefusal:"),
    )
    alone = Engine(" yes\nRefusal: N/A").judge(guard, ALONE)
    assert alone.readings == {REQUEST: Reading("harmful", None, "answer")}
    assert (alone.status, alone.flags) == ("complete", ())


def test_a_known_label_is_said_before_the_one_that_is_forced(write):
    engine = Engine(" no\nRefusal: N/A", words=["no"])
    judgement = engine.judge(declared(write(WILD), repair=True), ANSWERED)
    assert judgement.reading(REFUSAL) == Reading("compliance", pytest.approx(0.1), "repair")
    assert judgement.reading(REQUEST).source == "answer"
    assert judgement.flags == ("unreadable", "repaired")
    first, forced = engine.requests
    assert forced.prompt == Continuation(first, " no\nRefusal:", None)


def test_categories_are_split_as_the_description_says(write):
    kinds = {"task": "rude", "group": "kinds", "separator": ";"}
    held = changed(
        ("calls.0.answer", "Harm: (?P<harm>yes|no|hm) Rude: (?P<rude>y|n) Kinds:(?P<kinds>.*)"),
        ("calls.0.categories", kinds | {"none": ["-"], "names": {"b": "B"}}),
    )
    guard = declared(write(held))
    for text, found in {
        "a, x;b; b;": [("a, x", "a, x"), ("b", "B")],
        "-": [],
        "": [],
        "-;c": [("c", "c")],
    }.items():
        judgement = Engine(f"Harm: yes Rude: n Kinds:{text}").judge(guard, ALONE)
        assert [(one.code, one.name) for one in judgement.categories] == found
        assert all(one.task == "rude" for one in judgement.categories)


def test_messages_can_be_written_out(write):
    messages = [
        {"role": "system", "text": "{options.policy}"},
        {"role": "user", "text": "Judge: {prompt}"},
    ]
    held = changed(("calls.0.text", ...), ("calls.0.control", ...), ("calls.0.messages", messages))
    template = Template()
    assert first_prompt(declared(write(held), template), ALONE).text
    assert template.seen[0][0] == (
        ChatMessage("system", "Be kind."),
        ChatMessage("user", "Judge: How do I bake bread?"),
    )


def test_a_conversation_without_a_response_ends_with_the_request(write):
    held = changed(
        ("calls.0.text", ...),
        ("calls.0.control", ...),
        ("calls.0.conversation", True),
        ("calls.0.about", "exchange"),
    )
    template = Template()
    guard = declared(write(held), template)
    for exchange in (ALONE, ANSWERED, Exchange("a", "")):
        assert first_prompt(guard, exchange).text
    roles = [[message.role for message in messages] for messages, *_ in template.seen]
    assert roles == [["user"], ["user", "assistant"], ["user", "assistant"]]


SECOND = PLAIN["calls"][0] | {"name": "two", "about": "response"}
WRONG = {
    "calls: the first call": [("calls.0.about", "response"), ("calls.0.text", "{response}")],
    "colour: Extra inputs": [("colour", "red")],
    "calls.0.reads.0.colour: Extra inputs": [("calls.0.reads.0.colour", "red")],
    "calls: List should have at least 1": [("calls", [])],
    "calls.0.max_tokens: Input should be": [("calls.0.max_tokens", 0)],
    "calls.0.answer: it is no pattern of RE2 (": [("calls.0.answer", "(?P<harm>a(?=b))")],
    "calls.0.reads.1.group: answer has no group tone": [("calls.0.reads.1.group", "tone")],
    "calls.0.severity.group: answer has no group tone": [("calls.0.severity.group", "tone")],
    "calls.0.reasoning: answer has no group tone": [("calls.0.reasoning", "tone")],
    "calls.0.reads.0.labels.yes: bad is no label of request; use harmful, unharmful": [
        ("calls.0.reads.0.labels.yes", "bad")
    ],
    "calls.0.reads.0.labels.hm: bad is no label": [("options.strict", "bad")],
    "calls.0.reads.0.labels.maybe: the group harm of answer does not match it": [
        ("calls.0.reads.0.labels.maybe", "harmful")
    ],
    "calls.0.reads.0.labels: the group harm of answer matches hm, which is not": [
        ("calls.0.reads.0.labels.hm", ...)
    ],
    "calls.0.severity.levels.max: the group harm of answer does not match it": [
        ("calls.0.severity.levels", ["no", "hm", "yes", "max"])
    ],
    "calls.0.reads.0.task: there is no question tone; use": [("calls.0.reads.0.task", "tone")],
    "calls.0.reads.0.task: it is about the response": [("calls.0.reads.0.task", "response")],
    "calls.0.reads.0.task: {each} needs for_each": [("calls.0.reads.0.task", "{each}")],
    "calls.0.reads.1.task: request is read twice": [("calls.0.reads.1", READ)],
    "calls.0.reads.1.after: only the first word": [("calls.0.reads.1.after", "")],
    "questions.0.name: no call reads rude": [("calls.0.reads", [READ])],
    "questions.0.name: request is a standard task": [("questions.0.name", "request")],
    "questions.1.name: there are two questions rude": [("questions.1", PLAIN["questions"][0])],
    "questions.0.positive: it is none of the labels y, n": [("questions.0.positive", "x")],
    "questions.0.labels: a label is repeated": [("questions.0.labels", ["y", "y"])],
    "calls.0: it has messages and text: give one": [
        ("calls.0.messages", [{"role": "user", "text": "{prompt}"}])
    ],
    "calls.0: it asks nothing: give one": [("calls.0.text", ...), ("calls.0.control", ...)],
    "calls.0.text: {response} cannot be used here": [
        ("calls.0.text", "<s>[INST][/INST]{response}")
    ],
    "calls.0.text: {each} cannot be used here": [
        ("calls.0.text", "<s>[INST][/INST]{prompt}{each}")
    ],
    "calls.0.text: there is no {promt}": [("calls.0.text", "<s>[INST][/INST]{promt}{prompt}")],
    "calls.0.text: there is no option tone": [
        ("calls.0.text", "<s>[INST][/INST]{options.tone}{prompt}")
    ],
    "calls.0: a call about the prompt needs {prompt}": [("calls.0.text", "<s>[INST][/INST]")],
    "calls.0.control.0: neither text nor an after spells <s>": [
        ("calls.0.text", "[INST]{prompt}[/INST]")
    ],
    "calls.0.text: arguments and as_parts are for a chat template": [
        ("calls.0.arguments", {"a": 1})
    ],
    "calls.0.prefill: {prompt} cannot be used here": [("calls.0.prefill", "{prompt}")],
    "calls.0.as_parts: its option must be true or false": [
        ("calls.0.text", ...),
        ("calls.0.control", ...),
        ("calls.0.conversation", True),
        ("calls.0.as_parts", "{options.policy}"),
    ],
    "required.tone: there is no option tone": [("required", {"tone": "x"})],
    "reasoning.never.options.tone: there is no option tone": [
        ("reasoning", {"never": {"options": {"tone": "x"}}})
    ],
    "calls.0.text: {each.text} cannot be used here": [
        ("calls.0.text", "<s>[INST][/INST]{prompt}{each.text}")
    ],
    "calls.1.name: there are two calls one": [("calls.1", PLAIN["calls"][0])],
    "calls.1.severity.levels: all calls need the same levels": [
        ("calls.1", SECOND | {"severity": {"group": "harm", "levels": ["no", "yes", "hm"]}})
    ],
    "calls.0.for_each: there is no option tone": [("calls.0.for_each", "tone")],
    "calls.0.reads.0.task: each of several calls": [("calls.0.for_each", "list")],
    "options.policy: it must be a list of names": [("calls.0.for_each", "policy")],
    "options.list: it must be a list of names": [
        ("calls.0.for_each", "list"),
        ("options.list", ["Not a name"]),
    ],
    "options.list: the name rude is already in use": [
        ("calls.1", SECOND | {"for_each": "list", "reads": [READ | {"task": "{each}"}]}),
        ("options.list", ["rude"]),
    ],
    "calls.0.categories.task: the call does not read response": [
        ("calls.0.categories", {"task": "response", "group": "harm"})
    ],
    "calls.0.categories.names_option: there is no option tone": [
        ("calls.0.categories", {"task": "request", "group": "harm", "names_option": "tone"})
    ],
    "options.list: it must be a mapping": [
        ("calls.0.categories", {"task": "request", "group": "harm", "names_option": "list"})
    ],
}


def test_the_description_of_these_tests_is_not_refused(write):
    for held in (PLAIN, WILD):
        assert isinstance(read_description(write(held)), Description)


@pytest.mark.parametrize("said", WRONG)
def test_a_wrong_description_is_refused_with_the_path_of_the_field(write, said):
    path = write(changed(*WRONG[said]))
    with pytest.raises(WrongSetting) as refused:
        declared(path)
    assert str(refused.value).startswith(f"guard.name cannot be used: {path}: ")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value).replace(str(path), "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: [", r"mine\.yaml, line 2 is not YAML \(expected"),
        ("- a", "the file: Input should be"),
        ("", "the file: Input should be"),
        ("\udcff".encode("utf-8", "surrogateescape"), "is not a readable YAML file"),
    ],
)
def test_what_is_no_description_is_refused(tmp_path, text, said):
    path = tmp_path / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UnusableFile, match=said):
        read_description(path)


def test_a_file_that_is_not_there_is_said():
    with pytest.raises(
        WrongSetting, match=r"There is no file nowhere\.yaml; the desc.* qwen3guard"
    ):
        declared("nowhere.yaml")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"polcy": "x"}, "guard.options.polcy: the guard mine has no such option; use policy, st"),
        ({"policy": 7}, "guard.options.policy: it must be a text."),
        ({"list": "spam"}, "guard.options.list: it must be a list."),
        ({"names": []}, "guard.options.names: it must be a mapping."),
        ({"strict": "severe"}, "guard.options: calls.0.reads.0.labels.hm: severe is no label of"),
    ],
)
def test_a_wrong_option_is_refused(write, options, said):
    with pytest.raises(WrongSetting) as refused:
        declared(write(PLAIN), options=options)
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize("names", [["harm", "harm"], ["A b"], "harm", ["request"]])
def test_wrong_criteria_are_refused(names):
    with pytest.raises(WrongSetting, match=r"^guard\.options"):
        declared("granite-guardian", options={"criteria": names})


def test_guardreasoner_has_no_options():
    with pytest.raises(WrongSetting, match=r"^guard\.options: the guard guardreasoner has no"):
        build_guard("guardreasoner", {"options": {"a": 1}})


def test_a_guard_that_is_not_there_is_said():
    with pytest.raises(WrongSetting, match="there is no guard 'qwen'; use guardreasoner, gpt-oss"):
        build_guard("qwen", {})


def test_a_package_can_offer_a_guard(write, monkeypatch):
    monkeypatch.setattr("tests.unit.guards.declared.OFFERED", write(PLAIN), raising=False)
    here = "tests.unit.guards.declared"
    offered = [
        EntryPoint("offered", f"{here}:OFFERED", guards.ENTRY_POINTS),
        EntryPoint(
            "coded", "tests.unit.three_levels:ThreeLevels.from_options", guards.ENTRY_POINTS
        ),
        EntryPoint("broken", f"{here}:nothing", guards.ENTRY_POINTS),
    ]
    monkeypatch.setattr(guards, "entry_points", lambda **_: offered)
    assert build_guard("offered", {}).name == "mine"
    assert isinstance(build_guard("coded", {}), ThreeLevels)
    assert {"offered", "coded"} < set(known_guards())
    assert [guards.is_declared(name) for name in ("offered", "coded")] == [True, False]
    with pytest.raises(WrongSetting, match="the package that offers broken cannot be loaded"):
        build_guard("broken", {})


def test_without_a_model_there_is_no_prompt():
    with pytest.raises(
        WrongSetting, match=r"needs the chat template of a model: set engine\.model"
    ):
        _ = first_prompt(build_guard("qwen3guard", {}), ALONE).runs


@pytest.mark.parametrize("name", shipped())
def test_the_descriptions_that_ship_are_valid_and_say_what_they_are(name):
    held = yaml.safe_load(path_of(name).read_text("utf-8"))
    schema = Draft202012Validator(yaml.safe_load(documents()["guard.schema.json"]))
    assert list(schema.iter_errors(held)) == []
    description = read_description(path_of(name))
    assert description.about
    assert description.models
    assert description.licence
    assert first_request(shipped_guard(name), ALONE).stop_tokens


@pytest.mark.parametrize(
    ("source", "inner", "words"),
    [
        ("a(?P<g>b|c)d", "b|c", ("b", "c")),
        ("(?i)a(?P<g>b|c)", "(?i)b|c", ()),
        (r"(?P<g>(?:S\d{1,2})(?:,S)*)x", r"(?:S\d{1,2})(?:,S)*", ()),
        (r"(?P<g>[)(]|\)|[^)]|[])])y", r"[)(]|\)|[^)]|[])]", ()),
        ("(?<g>no way|yes)", "no way|yes", ("no way", "yes")),
        ("(?P<g>a.|b)", "a.|b", ()),
        ("(?P<other>a)", None, ()),
    ],
)
def test_a_group_is_found_in_the_source_of_a_pattern(source, inner, words):
    found = group_pattern(source, "g")
    assert found == inner
    assert alternatives(found or "[a]") == words
