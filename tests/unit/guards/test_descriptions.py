"""The descriptions that ship, on answers as their models write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.guards.declared import (
    END,
    START,
    Engine,
    Template,
    completion,
    declared,
    probabilities,
    shipped_guard,
)
from worker.domain.calibration import Calibration, Curve, QuestionCalibration
from worker.domain.engines import Continuation, LabelPlace
from worker.domain.errors import InvalidRequest, PromptTooLong, WrongSetting
from worker.domain.events import Exchange
from worker.domain.guard import CompletionSpan, first_prompt, read_completions
from worker.domain.judgements import Category, Reading
from worker.domain.prompts import Control
from worker.domain.questions import STANDARD_TASKS
from worker.guards import build_guard, known_guards
from worker.guards.declared.description import ReasoningSwitch
from worker.guards.declared.guard import DeclaredGuard, Judging
from worker.guards.declared.loading import path_of, read_description, shipped
from worker.guards.declared.plan import plan

REQUEST, REFUSAL, RESPONSE = STANDARD_TASKS
ALONE = Exchange("How do I bake bread?", None)
ANSWERED = Exchange("How do I bake bread?", "With flour.")
QWEN_REQUEST = "Safety: Safe\nCategories: None"
QWEN_RESPONSE = "Safety: Unsafe\nCategories: Violent, PII\nRefusal: No"


def labels(judgement):
    return tuple(judgement.reading(task).label for task in STANDARD_TASKS)


def codes(judgement):
    return [(one.task, one.code) for one in judgement.categories]


def test_descriptions_ship():
    assert {"qwen3guard", "llama-guard", "granite-guardian"} <= set(shipped())
    assert known_guards()[0] == "guardreasoner"
    assert set(shipped()) < set(known_guards())


def test_qwen3guard_asks_about_the_request_then_about_the_response():
    template, engine = Template(), Engine(QWEN_REQUEST, QWEN_RESPONSE)
    judgement = engine.judge(guard := declared("qwen3guard", template), ANSWERED)
    assert labels(judgement) == ("unharmful", "compliance", "harmful")
    assert judgement.status == "complete"
    assert not judgement.flags
    assert not judgement.reasoned
    assert codes(judgement) == [(RESPONSE, "Violent"), (RESPONSE, "PII")]
    assert judgement.severity == "Unsafe"
    first, second = engine.requests
    assert first.prompt.runs == (
        *(START, "user\nHow do I bake bread?", END),
        *(START, "assistant\n"),
    )
    assert second.prompt.text.count("assistant") == 2
    assert "With flour." in second.prompt.text
    assert first.stop_tokens == ("<|im_end|>",)
    assert not first.stop_loops
    assert [question.name for question in guard.questions] == list(STANDARD_TASKS)
    assert guard.name == "qwen3guard"


def test_without_a_response_there_is_one_request_and_no_label_of_the_response():
    engine = Engine(QWEN_REQUEST)
    judgement = engine.judge(declared("qwen3guard"), ALONE)
    assert len(engine.requests) == 1
    assert judgement.status == "complete"
    assert judgement.readings == {REQUEST: Reading("unharmful", None, "answer")}


def test_non_violent_acts_are_not_violent():
    text = "Safety: Unsafe\nCategories: Non-violent Illegal Acts"
    judgement = Engine(text).judge(declared("qwen3guard"), ALONE)
    assert codes(judgement) == [(REQUEST, "Non-violent Illegal Acts")]
    text = "Safety: Unsafe\nCategories: Non-violent Illegal Acts, Violent, Suicide & Self-Harm"
    judgement = Engine(text).judge(declared("qwen3guard"), ALONE)
    assert [one.name for one in judgement.categories] == text.partition("ies: ")[2].split(", ")


@pytest.mark.parametrize(
    ("options", "label"), [({}, "unharmful"), ({"controversial": "harmful"}, "harmful")]
)
def test_the_level_between_is_what_the_option_says(options, label):
    guard = declared("qwen3guard", options=options)
    judgement = Engine("Safety: Controversial\nCategories: PII").judge(guard, ALONE)
    assert judgement.reading(REQUEST).label == label
    assert judgement.severity == "Controversial"


def test_the_highest_level_of_both_calls_is_the_severity():
    said = ("Safety: Controversial\nCategories: PII", "Safety: Safe\nCategories: None\nRefusal: No")
    assert Engine(*said).judge(declared("qwen3guard"), ANSWERED).severity == "Controversial"


def test_a_score_is_the_share_of_the_words_of_the_positive_label():
    logprobs = probabilities(_Safe=0.5, _Unsafe=0.2, _Controversial=0.1)
    said = completion(QWEN_REQUEST, logprobs)
    for options, score in (({}, 0.25), ({"controversial": "harmful"}, 0.375)):
        engine = Engine(said)
        judgement = engine.judge(declared("qwen3guard", options=options), ALONE)
        assert judgement.reading(REQUEST) == Reading("unharmful", score, "answer")
        (found,) = judgement.scores
        assert (found.raw, found.mass) == (pytest.approx(score), pytest.approx(0.8))
        # the blank before a word is part of its token
        words = (" Safe", " Unsafe", " Controversial")
        assert engine.requests[0].scores == (LabelPlace(words, "Safety:"),)


def test_a_score_is_calibrated_and_the_label_is_that_of_the_answer():
    curves = QuestionCalibration(first=Curve(offset=2.0), reasoned=Curve(offset=-2.0))
    calibration = Calibration({REQUEST: curves}, "0" * 64)
    guard = build_guard("qwen3guard", {}, calibration, Template)
    said = completion(QWEN_REQUEST, probabilities(_Safe=0.5, _Unsafe=0.5))
    judgement = Engine(said).judge(guard, ALONE)
    assert judgement.reading(REQUEST) == Reading("unharmful", 0.8808, "answer")
    assert [(one.raw, one.stage) for one in judgement.scores] == [(0.5, "first")]
    held = read_description(path_of("granite-guardian")).model_copy(
        update={"reasoning": ReasoningSwitch()}
    )
    planned = plan(held, {"criteria": [], "response_criteria": []}, "always")
    thinking = DeclaredGuard(
        "g", planned, identity="", templates=Template, judging=Judging(calibration=calibration)
    )
    text = "<think>So.</think><score> yes </score>"
    said = completion(text, probabilities(_yes=0.5, _no=0.5))
    judgement = Engine(said).judge(thinking, ALONE)
    assert judgement.reading(REQUEST) == Reading("harmful", 0.1192, "answer")
    assert [one.stage for one in judgement.scores] == ["reasoned"]


def test_a_score_of_little_mass_is_none():
    said = completion(QWEN_REQUEST, probabilities(_Safe=0.2, _Unsafe=0.2))
    judgement = Engine(said).judge(declared("qwen3guard"), ALONE)
    assert judgement.reading(REQUEST) == Reading("unharmful", None, "answer")


def test_a_category_of_requests_is_none_of_a_response():
    engine = Engine(
        QWEN_REQUEST, "Safety: Unsafe\nCategories: Jailbreak\nRefusal: No", words=["Safe", "Yes"]
    )
    assert "unreadable" in engine.judge(declared("qwen3guard"), ANSWERED).flags


@pytest.mark.parametrize("reason", ["stop", "length", "repetition"])
def test_what_was_cut_is_repaired_after_all_calls(reason):
    cut = completion("Safety: Unsafe\nCategories: Viol", reason=reason)
    engine = Engine(cut, "Safe", words=["Unsafe", "Safe", "Yes"])
    judgement = engine.judge(declared("qwen3guard", repair=True), ANSWERED)
    assert labels(judgement) == ("harmful", "refusal", "unharmful")
    assert {judgement.reading(task).source for task in STANDARD_TASKS} == {"repair"}
    assert judgement.reading(REQUEST).score == 0.9
    assert judgement.status == "complete"
    cut_flag = {"length": ("truncated",), "repetition": ("looping",)}.get(reason, ())
    assert judgement.flags == ("unreadable", *cut_flag, "repaired")
    assert judgement.severity == "Unsafe"
    first, second, *forced = engine.requests
    one, two, three = forced
    assert one.prompt == Continuation(first, "Safety:", None)
    assert two.prompt == Continuation(second, "Safety:", None)
    assert three.prompt.of is two
    assert three.prompt.text == "\nRefusal:"
    assert three.prompt.completion.text == " Safe"
    assert all(one.scores == (LabelPlace(one.choices),) for one in forced)
    assert three.choices == (" Yes", " No")


def test_without_repair_it_is_inconclusive_and_says_so():
    engine = Engine("Safety: Maybe")
    judgement = engine.judge(declared("qwen3guard", repair=False), ALONE)
    assert len(engine.requests) == 1
    assert judgement.status == "inconclusive"
    assert judgement.flags == ("unreadable",)
    assert judgement.reading(REQUEST) == Reading()


def test_an_answer_that_the_model_was_not_about_to_give_is_not_believed():
    engine = Engine("no form", words=["Unsafe"], mass=0.49)
    judgement = engine.judge(declared("qwen3guard"), ALONE)
    assert judgement.status == "inconclusive"
    assert judgement.reading(REQUEST).label is None
    assert judgement.flags == ("unreadable", "answer_improbable")
    assert judgement.severity is None


@pytest.mark.parametrize("refused", [InvalidRequest("-"), PromptTooLong("-")])
def test_where_the_context_is_full_it_stays_inconclusive(refused):
    engine = Engine("no form", words=[refused])
    judgement = engine.judge(declared("qwen3guard"), ALONE)
    assert (judgement.status, judgement.flags) == ("inconclusive", ("unreadable",))


def test_nothing_more_is_forced_where_the_context_is_full():
    engine = Engine(QWEN_REQUEST, "no form", words=[PromptTooLong("-")])
    judgement = engine.judge(declared("qwen3guard"), ANSWERED)
    assert labels(judgement) == ("unharmful", None, None)
    assert len(engine.requests) == 3


def test_a_refused_second_call_makes_the_exchange_a_dead_letter():
    engine = Engine(QWEN_REQUEST, PromptTooLong("-"))
    with pytest.raises(PromptTooLong):
        engine.judge(declared("qwen3guard"), ANSWERED)


@pytest.mark.parametrize("text", ["unsafe\nS1,S10", "\n\nunsafe\nS1,S10", " unsafe \nS1, S10 \n"])
def test_llama_guard_answers_after_a_blank_line(text):
    engine = Engine(completion(text, probabilities(safe=0.1, unsafe=0.7)))
    template = Template()
    judgement = engine.judge(declared("llama-guard", template), ALONE)
    assert labels(judgement) == ("harmful", None, None)
    assert judgement.status == "complete"
    assert judgement.reading(REQUEST).score == 0.875
    assert judgement.categories == (
        Category(REQUEST, "S1", "Violent Crimes"),
        Category(REQUEST, "S10", "Hate"),
    )
    (request,) = engine.requests
    # the model would write the blank line itself, and its verdict second
    assert request.prompt.runs[-1] == "assistant\n\n\n"
    assert request.scores == (LabelPlace(("safe", "unsafe")),)
    assert template.seen[0][1:] == ({}, False)


def test_llama_guard_judges_the_last_message():
    engine, template = Engine("safe", "unsafe\nS2"), Template()
    judgement = engine.judge(declared("llama-guard", template), ANSWERED)
    assert labels(judgement) == ("unharmful", None, "harmful")
    assert judgement.status == "complete"
    assert [one.prompt.text for one in engine.requests]
    roles = [[message.role for message in messages] for messages, *_ in template.seen]
    assert roles == [["user"], ["user", "assistant"]]
    assert codes(judgement) == [(RESPONSE, "S2")]


def test_llama_guard_takes_other_categories():
    options = {"categories": {"S1": "Fraud", "S20": "Spam"}, "as_parts": True}
    template, engine = Template(), Engine("unsafe\nS1,S20")
    judgement = engine.judge(declared("llama-guard", template, options=options), ALONE)
    assert engine.requests[0].prompt.text
    assert template.seen[0][1:] == ({"categories": options["categories"]}, True)
    assert [one.name for one in judgement.categories] == ["Fraud", "Spam"]


def test_a_forced_answer_of_llama_guard_needs_no_more_text():
    engine = Engine("I cannot", words=["unsafe"])
    judgement = engine.judge(declared("llama-guard"), ALONE)
    assert judgement.reading(REQUEST) == Reading("harmful", 0.9, "repair")
    assert engine.requests[1].prompt == Continuation(engine.requests[0], "", None)
    assert engine.requests[1].choices == ("safe", "unsafe")


@pytest.mark.parametrize(
    ("text", "reasoned"),
    [
        ("<score> yes </score>", False),
        ("<score>yes</score>", False),
        ("<think>\n</think>\n<score> yes </score>", False),
        ("<think>It asks\nfor </score>.</think>\n<score> yes </score>\n", True),
        ("It was opened by the prompt.</think><score> yes </score>", True),
    ],
)
def test_granite_guardian_with_and_without_thoughts(text, reasoned):
    guard = declared("granite-guardian", options={"criteria": []})
    judgement = Engine(text).judge(guard, ALONE)
    assert labels(judgement) == ("harmful", None, None)
    assert judgement.reasoned == reasoned
    assert bool(judgement.reasoning) == reasoned
    if reasoned:
        (section,) = judgement.reasoning
        assert section.task == REQUEST
        assert section.steps[0] in text


def test_granite_guardian_has_a_call_and_a_question_for_each_criterion():
    options = {"criteria": ["jailbreak", "profanity"], "response_criteria": ["social_bias"]}
    template = Template()
    guard = declared("granite-guardian", template, options=options, reasoning="never")
    yes, no = "<score> yes </score>", "<score> no </score>"
    engine = Engine(no, yes, yes, no, yes)
    judgement = engine.judge(guard, ANSWERED)
    assert [one.name for one in guard.questions] == [
        REQUEST,
        RESPONSE,
        "jailbreak",
        "profanity",
        "social_bias",
    ]
    assert guard.questions[2].asks == "Does the request meet the criterion jailbreak?"
    assert guard.questions[2].heading == "jailbreak"
    assert labels(judgement) == ("unharmful", None, "harmful")
    assert {name: one.label for name, one in judgement.criteria.items()} == {
        "jailbreak": "yes",
        "profanity": "no",
        "social_bias": "yes",
    }
    assert judgement.status == "complete"
    assert all(one.prompt.text for one in engine.requests)
    given = [arguments["guardian_config"]["criteria_id"] for _, arguments, _ in template.seen]
    assert given == ["harm", "harm", "jailbreak", "profanity", "social_bias"]
    assert [len(messages) for messages, *_ in template.seen] == [1, 2, 1, 1, 2]


@pytest.mark.parametrize(("mode", "think"), [("always", True), ("never", False)])
def test_the_mode_of_reasoning_is_an_argument_of_the_template(mode, think):
    template = Template()
    guard = declared("granite-guardian", template, reasoning=mode)
    request = next(guard.judge(ALONE))
    assert request.prompt.text
    assert template.seen[0][1] == {"guardian_config": {"criteria_id": "harm"}, "think": think}
    # reasoning can spell what comes before the word
    assert request.scores == (LabelPlace((" yes", " no"), "<score>", last=True),)
    assert request.max_tokens == (2048 if think else 48)
    assert request.stop_loops


@pytest.mark.parametrize("mode", ["unsure", "flagged"])
def test_a_cascade_is_refused(mode):
    with pytest.raises(WrongSetting, match=f"^judging.reasoning: {mode} is not possible"):
        declared("qwen3guard", reasoning=mode)


def test_the_prompt_is_rendered_where_it_is_first_needed():
    def no_model():
        raise AssertionError("a template was loaded")

    guard = declared("qwen3guard")
    guard._templates = no_model
    judgement = read_completions(guard, ANSWERED, [completion(QWEN_REQUEST)] * 1)
    assert judgement is None, "a second completion is needed"
    both = [completion(QWEN_REQUEST), completion(QWEN_RESPONSE)]
    assert read_completions(guard, ANSWERED, both).status == "complete"
    assert guard.spans(ANSWERED, both)
    with pytest.raises(AssertionError, match="was loaded"):
        _ = first_prompt(guard, ALONE).text


def test_the_template_is_loaded_once():
    loads = []
    guard = declared("qwen3guard")
    template = Template()
    guard._templates = lambda: loads.append(1) or template
    for _ in range(3):
        assert first_prompt(guard, ANSWERED).text
    prompt = first_prompt(guard, ANSWERED)
    assert prompt.runs == prompt.runs
    assert (len(loads), len(template.seen)) == (1, 4)


def test_another_template_option_or_mode_has_another_sum():
    class Other(Template):
        def render(self, messages, arguments, **how):
            prompt = super().render(messages, arguments, **how)
            return type(prompt)((Control("<|other|>"), *prompt.runs))

    guards = [
        declared("granite-guardian"),
        declared("granite-guardian", reasoning="never"),
        declared("granite-guardian", options={"criteria": []}),
        declared("granite-guardian", Other()),
        declared("qwen3guard"),
        declared("qwen3guard", options={"controversial": "harmful"}),
    ]
    sums = [guard.prompt_sha256 for guard in guards]
    assert len(set(sums)) == len(sums)
    assert sums[0] == declared("granite-guardian").prompt_sha256
    assert all(len(one) == 64 for one in sums)


def test_labels_are_marked_where_they_are():
    guard = declared("qwen3guard")
    texts = [f"\n{QWEN_REQUEST}", "Safe", " Unsafe", " No"]
    first, second, third, fourth = guard.spans(ANSWERED, [completion(text) for text in texts])
    assert first == (CompletionSpan(9, 13, "label", REQUEST),)
    assert second == ()
    assert third == (CompletionSpan(1, 7, "label", RESPONSE),)
    assert fourth == (CompletionSpan(1, 3, "label", REFUSAL),)
    (span,) = declared("llama-guard").spans(ALONE, [completion("unsafe\nS1")])[0]
    assert span == CompletionSpan(0, 6, "label", REQUEST)
    text = "<think>Why?</think><score> no </score>"
    found = declared("granite-guardian").spans(ALONE, [completion(text)])[0]
    assert [text[one.start : one.end] for one in found] == ["Why?", "no"]
    assert [one.kind for one in found] == ["step", "label"]


PIECES = st.sampled_from(
    [
        *("Safety: ", "Safe", "Unsafe", "Controversial", "\n", "Categories: ", "None", "PII", ", "),
        *("Refusal: ", "Yes", "No", "safe", "unsafe", "S1", ",S14", "<think>", "</think>"),
        *("<score> ", "yes", "no", " </score>", " ", "\ud800", "\u200b", "{prompt}"),
        *("sec", "pc", "a", "<explanation>", "</explanation>", "User Safety: ", "N/A", "."),
        *("\nResponse Safety: ", "\nSafety Categories: ", "analysis", "assistant", "final", "1"),
        *("Harmful request: ", "\nResponse refusal: ", "\nHarmful response: ", "0"),
    ]
)
TEXTS = st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=10).map("".join))


@pytest.mark.parametrize("name", shipped())
@given(
    texts=st.lists(TEXTS, min_size=16, max_size=16),
    reason=st.sampled_from(["stop", "length", "repetition", None]),
    exchange=st.sampled_from([ALONE, ANSWERED]),
    repair=st.booleans(),
)
def test_any_completion_is_read(name, texts, reason, exchange, repair):
    guard = shipped_guard(name, repair=repair)
    asking = guard.judge(exchange)
    next(asking)
    completions = []
    try:
        for text in texts:
            completions.append(completion(text, reason=reason))
            asking.send(completions[-1])
    except StopIteration as end:
        judgement = end.value
    else:
        raise AssertionError("it asks for more")
    has_response = exchange.response is not None
    for question in guard.questions:
        reading = judgement.reading(question.name)
        assert reading.label in (None, *question.labels)
        if not question.applies(has_response=has_response):
            assert reading == Reading()
        elif judgement.status == "complete":
            assert reading.label is not None
    if judgement.status == "inconclusive":
        assert "unreadable" in judgement.flags
    assert set(judgement.flags) <= guard.flags.keys()
    spans = guard.spans(exchange, completions)
    assert len(spans) == len(completions)
    for one, of in zip(completions, spans, strict=True):
        assert all(0 <= span.start < span.end <= len(one.text) for span in of)
