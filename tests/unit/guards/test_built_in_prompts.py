"""The prompts of the descriptions that ship, by templates of the kinds that their models have."""

from functools import cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.chat_templates import plain
from tests.unit.guards.built_in_templates import KINDS
from tests.unit.guards.declared import shipped_guard
from worker.domain.engines import Completion, Usage
from worker.domain.events import Exchange
from worker.domain.prompts import Control, Prompt, split_at_controls
from worker.guards.declared.loading import path_of, read_description, shipped

NOTHING = Completion("", "length", Usage(0, 0, 0))
# what the templates and the descriptions themselves spell
HOSTILE = st.lists(
    st.sampled_from(
        [
            *("<|im_end|>", "<|eot_id|>", "<|eot|>", "<end_of_turn>", "<|end|>", "<|return|>"),
            *("<think>", "</think>", "<guardian>", "[/INST]", "<s>", "assistantfinal1", "{prompt}"),
            *("{{ 1 }}", "{% raw %}", " ", "\n", "a", "User:", "\u4e2d"),
        ]
    ),
    max_size=6,
).map("".join)


def prompts(guard, exchange):
    """The prompts of all calls, in order."""
    asking = guard.judge(exchange)
    request = next(asking)
    found = []
    try:
        while isinstance(request.prompt, Prompt):
            found.append(request.prompt)
            request = asking.send(NOTHING)
    except StopIteration:
        pass
    return found


def texts(name, prompt="How?", response=None, **settings):
    guard = shipped_guard(name, KINDS[name].template() if name in KINDS else None, **settings)
    return [one.text for one in prompts(guard, Exchange(prompt, response))]


class Watching:
    """The real template; keeps what it was given."""

    def __init__(self, name):
        self.template = KINDS[name].template()
        self.given = []

    def render(self, messages, arguments, *, as_parts=False):
        rendered = self.template.render(messages, arguments, as_parts=as_parts)
        self.given.append((messages, arguments, as_parts, rendered))
        return rendered


@cache
def watched(name):
    return shipped_guard(name, watching := Watching(name)), watching


@cache
def written(name):
    return shipped_guard(name)


@pytest.mark.parametrize("name", KINDS)
@given(HOSTILE, st.none() | HOSTILE)
@example("<|im_end|>", "")
def test_a_prompt_is_what_the_template_makes_of_the_texts(name, prompt, response):
    """The texts are those of the template; its control tokens are the only ones."""
    guard, watching = watched(name)
    watching.given.clear()
    found = prompts(guard, Exchange(prompt, response))
    # rendered where it is needed
    assert [bool(one.runs) for one in found] == [True] * len(watching.given)
    controls = KINDS[name].special + KINDS[name].plain
    for (messages, arguments, as_parts, rendered), one in zip(watching.given, found, strict=True):
        whole = plain(
            KINDS[name].source, messages, KINDS[name].tokens | arguments, as_parts=as_parts
        )
        assert rendered.text == whole
        assert one.text.startswith(whole)
        harmless = plain(
            KINDS[name].source,
            [type(m)(m.role, "x" if m.text else "") for m in messages],
            KINDS[name].tokens | arguments,
            as_parts=as_parts,
        )
        wanted = [run for run in split_at_controls(harmless, controls) if isinstance(run, Control)]
        assert [run for run in one.runs if isinstance(run, Control)] == wanted


@pytest.mark.parametrize("name", ["wildguard", "shieldstral"])
@given(HOSTILE, st.none() | HOSTILE)
def test_a_written_prompt_has_its_own_control_tokens_only(name, prompt, response):
    guard = written(name)
    for one, harmless in zip(
        prompts(guard, Exchange(prompt, response)),
        prompts(guard, Exchange("x", None if response is None else "x")),
        strict=True,
    ):
        controls = [run for run in one.runs if isinstance(run, Control)]
        assert controls == [run for run in harmless.runs if isinstance(run, Control)]
        assert prompt in one.text


def test_each_guard_that_ships_has_a_template_or_a_text():
    written = {
        name for name in shipped() if read_description(path_of(name)).calls[0].text is not None
    }
    assert written == {"wildguard", "shieldstral"}
    assert set(shipped()) == written | KINDS.keys()


@pytest.mark.parametrize("name", shipped())
def test_two_options_that_must_be_set_are_in_the_prompts(name):
    required = read_description(path_of(name)).required
    found = "".join(texts(name, "q", "r"))
    assert all(f"({option})" in found for option in required)


def test_xguard_is_given_a_policy_and_labels_first():
    (alone,) = texts("yufeng-xguard")
    assert "Own categories" not in alone
    assert "Explain first" not in alone
    options = {"policy": "a: Weapons for games"}
    one, two = texts("yufeng-xguard", response="So.", options=options)
    assert "# Own categories\na: Weapons for games" in one
    assert "[user] How?\n[assistant] So.\n" in two


def test_llama_guard_4_has_parts_and_one_blank_line():
    one, two = texts("llama-guard-4", " How? ", " So. ")
    assert "Judge the User." in one
    assert "Judge the Agent." in two
    assert "User: How?\n\nAgent: So.\n" in two.replace("\n\n\n", "\n\n")
    assert one.endswith("<|header_end|>\n\n")
    assert not one.endswith("\n\n\n")
    (less,) = texts("llama-guard-4", options={"excluded_category_keys": ["S2"]})
    assert "S1\n" in less
    assert "S2" not in less


def test_a_blank_line_that_the_template_lacks_is_added():
    assert texts("llama-guard")[0].endswith("<|end_header_id|>\n\n")


def test_granite_guardian_4_1_asks_in_a_last_turn_of_the_user():
    options = {
        "criteria": {"spam": "It is spam."},
        "response_criteria": {"rude": "It is rude."},
        "harm": "H.",
        "mode": "<no-think>M.",
        "request_schema": "Q.",
        "response_schema": "R.",
    }

    def turn(role, text):
        return f"<|start_of_role|>{role}<|end_of_role|>{text}<|end_of_text|>\n"

    def block(criterion, schema):
        text = (
            f"<guardian><no-think>M.\n\n### Criteria: {criterion}\n\n### Scoring Schema: {schema}"
        )
        return turn("user", text) + "<|start_of_role|>assistant<|end_of_role|>"

    asked, answered = turn("user", "How?"), turn("assistant", "So.")
    assert texts("granite-guardian-4.1", response="So.", options=options) == [
        asked + block("H.", "Q."),
        asked + answered + block("H.", "R."),
        asked + block("It is spam.", "Q."),
        asked + answered + block("It is rude.", "R."),
    ]
    for mode, mark in (("always", "<think>"), ("never", "<no-think>")):
        (text,) = texts("granite-guardian-4.1", reasoning=mode)
        assert f"<guardian>{mark}" in text
    assert "last user" in texts("granite-guardian-4.1")[0]
    assert "last assistant" in texts("granite-guardian-4.1", response="So.")[1]


def test_nemotron_is_asked_once():
    (text,) = texts("nemotron-content-safety", " How? ", "So.", reasoning="never")
    assert "Is this safe? /categories\nuser: How?\nresponse: agent: So.<end_of_turn>" in text
    assert "<think></think>" in text
    (text,) = texts("nemotron-content-safety", options={"categories": "/no_categories"})
    assert "/no_categories\nuser: How?<end_of_turn>" in text
    assert "<think>" not in text


def test_gpt_oss_safeguard_has_the_policy_as_instructions():
    options = {"policy": "No <|end|> spam."}
    one, two = texts("gpt-oss-safeguard", response="So.", options=options)
    assert "Reasoning: medium" in one
    assert "# Instructions\n\nNo <|end|> spam.\n\n" in one
    assert "user's message" in one
    assert "<|start|>user<|message|>How?<|end|><|start|>assistant" in one
    assert "User: How?\n\nAssistant: So.<|end|>" in two
    assert "assistant's answer" in two
    assert "Reasoning: low" in texts("gpt-oss-safeguard", reasoning="never", options=options)[0]
    options["effort"] = "high"
    assert "Reasoning: high" in texts("gpt-oss-safeguard", reasoning="never", options=options)[0]


def test_shieldgemma_has_a_guideline_for_each_call():
    options = {"guidelines": {"hate": "No hate."}, "response_guidelines": {"lies": " No lies."}}
    found = texts("shieldgemma", response="So.", options=options)
    rules = ["(guideline)", "(response_guideline)", "No hate.", "No lies."]
    assert [f"Rule: {rule} Yes" in text for rule, text in zip(rules, found, strict=True)] == [
        True
    ] * 4
    assert [("Chatbot: So." in text) for text in found] == [False, True, False, True]


def test_wildguard_has_one_prompt_with_empty_places():
    assert texts("wildguard", options={"instruction": "I."}) == [
        (
            "<s><|user|>\n[INST] I.\n\nHuman user:\nHow?\n\nAI assistant:\n\n\n---\n\n"
            "Answers: [/INST]\n<|assistant|>\n"
        )
    ]
    assert "AI assistant:\nSo.\n\n---" in texts("wildguard", response="So.")[0]


def test_shieldstral_has_a_document_and_a_question():
    options = {"system": "S.", "instruction": "I.", "query": "Q?", "queries": {"spam": "Spam?"}}
    start = "<s>[SYSTEM_PROMPT]S.[/SYSTEM_PROMPT][INST]<Instruct>: I.\n\n<Query>: "
    assert texts("shieldstral", response="So.", options=options) == [
        f"{start}Q?\n\n<Document>: [User] How?[/INST]",
        f"{start}Q?\n\n<Document>: [User] How?\n[Assistant] So.[/INST]",
        f"{start}Spam?\n\n<Document>: [User] How?[/INST]",
    ]
