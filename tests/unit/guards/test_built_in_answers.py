"""The answers of the descriptions that ship, beyond the first three: all words, codes and traps."""

from functools import cache

import pytest
import yaml

from tests.unit.guards.declared import Engine, completion, probabilities, shipped_guard
from worker.domain.engines import LabelPlace
from worker.domain.events import Exchange
from worker.domain.judgements import Reading
from worker.domain.prompts import Control
from worker.domain.questions import STANDARD_TASKS
from worker.guards.declared.grammar import alternatives, group_pattern
from worker.guards.declared.loading import path_of, read_description, shipped

REQUEST, REFUSAL, RESPONSE = STANDARD_TASKS
ALONE = Exchange("How do I bake bread?", None)
ANSWERED = Exchange("How do I bake bread?", "With flour.")


@cache
def guard(name, **settings):
    return shipped_guard(name, **settings)


def judged(name, *said, exchange=ALONE, repair=False, **settings):
    return Engine(*said).judge(shipped_guard(name, repair=repair, **settings), exchange)


def labels(judgement):
    return tuple(judgement.reading(task).label for task in STANDARD_TASKS)


def codes(judgement):
    return [(one.task, one.code, one.name) for one in judgement.categories]


RISKS = yaml.safe_load(path_of("yufeng-xguard").read_text("utf-8"))["calls"][0]


@pytest.mark.parametrize("risk", RISKS["reads"][0]["labels"])
def test_xguard_reads_each_id(risk):
    judgement = judged("yufeng-xguard", risk, reasoning="never")
    assert judgement.status == "complete"
    assert labels(judgement)[0] == ("unharmful" if risk == "sec" else "harmful")
    name = RISKS["categories"]["names"].get(risk, risk)
    assert codes(judgement) == ([] if risk == "sec" else [(REQUEST, risk, name)])
    assert len(name) > 1 or len(risk) == 1


def test_xguard_has_an_explanation_after_the_label():
    said = "pc\n<explanation>\nIt asks for sec.\n</explanation>\n"
    shares = probabilities(sec=0.1, pc=0.6, dw=0.2, a=0.05)
    judgement = judged("yufeng-xguard", completion(said, shares))
    assert judgement.reading(REQUEST) == Reading("harmful", 0.8947, "answer")
    assert [one.stage for one in judgement.scores] == ["first"], "the label came first"
    assert judgement.reasoned
    assert judgement.reasoning[0].steps == ("It asks for sec.",)
    engine = Engine(said)
    assert engine.judge(guard("yufeng-xguard"), ALONE).status == "complete"
    (request,) = engine.requests
    (place,) = request.scores
    assert (place.after, len(place.labels), request.max_tokens) == ("", 55, 300)
    assert next(guard("yufeng-xguard", reasoning="never").judge(ALONE)).max_tokens == 1


def test_a_label_of_xguard_is_complete_where_its_explanation_is_cut():
    cut = completion("sec\n<explanation>It is ab", reason="length")
    judgement = judged("yufeng-xguard", cut, cut, exchange=ANSWERED)
    assert labels(judgement) == ("unharmful", None, "unharmful")
    assert judgement.flags == ()


@pytest.mark.parametrize(
    "said", ["secret", "Sec", "sec pc", "xx", "", "<explanation>a</explanation>sec"]
)
def test_xguard_refuses_what_is_no_id(said):
    assert judged("yufeng-xguard", said).flags == ("unreadable",)


def test_own_categories_of_xguard_have_names():
    options = {"policy": "a: Weapons for games", "names": {"a": "Games", "pc": "Porn"}}
    assert codes(judged("yufeng-xguard", "a", options=options)) == [(REQUEST, "a", "Games")]
    assert codes(judged("yufeng-xguard", "pc", options=options)) == [(REQUEST, "pc", "Porn")]


@pytest.mark.parametrize("number", range(1, 15))
def test_llama_guard_4_reads_each_code(number):
    judgement = judged("llama-guard-4", f"unsafe\nS{number}", "safe", exchange=ANSWERED)
    assert labels(judgement) == ("harmful", None, "unharmful")
    ((_, code, name),) = codes(judgement)
    assert code == f"S{number}"
    assert name != code


@pytest.mark.parametrize(
    "said", ["Safe", "safe\nunsafe", "unsafe S1", "unsafe\nS1,", "unsafe\nS1;S2"]
)
def test_llama_guard_4_refuses_other_forms(said):
    assert judged("llama-guard-4", said).flags == ("unreadable",)


THINKING = {
    "granite-guardian-4.1": ("<score> {} </score>", "yes", "no", "<score>"),
    "nemotron-content-safety": ("User Safety: {}", "unsafe", "safe", "User Safety:"),
}


@pytest.mark.parametrize("name", THINKING)
@pytest.mark.parametrize("word", [1, 2])
def test_what_thoughts_spell_is_no_answer(name, word):
    form, *words, after = THINKING[name]
    said, other = form.format(words[word - 1]), form.format(words[2 - word])
    judgement = judged(name, f"<think>Perhaps {other}?\n{other}</think>\n{said}")
    assert labels(judgement)[0] == ("harmful", "unharmful")[word - 1]
    assert judgement.reasoned
    assert other in judgement.reasoning[0].steps[0]
    (place, *_) = next(guard(name).judge(ALONE)).scores
    assert (place.after, place.last) == (after, True)
    # an open thought has no answer
    assert judged(name, f"<think>Perhaps {said}").flags == ("unreadable",)


@pytest.mark.parametrize(
    "text", ["<score> yes </score>", "<score>no</score>", "<think>\n</think>\n<score> no </score>"]
)
def test_granite_guardian_4_1_without_thoughts(text):
    options = {"criteria": {"spam": "It is spam."}, "response_criteria": {"rude": "It is rude."}}
    said = [text, "<score> no </score>", "<score> yes </score>", "<score> no </score>"]
    judgement = judged(
        "granite-guardian-4.1", *said, exchange=ANSWERED, options=options, reasoning="never"
    )
    assert labels(judgement) == ("harmful" if "yes" in text else "unharmful", None, "unharmful")
    assert {name: one.label for name, one in judgement.criteria.items()} == {
        "spam": "yes",
        "rude": "no",
    }
    assert not judgement.reasoned


@pytest.mark.parametrize(
    "said", ["yes", "<score>maybe</score>", "<score>yes</score>no", "<score>yes"]
)
def test_granite_guardian_4_1_refuses_other_forms(said):
    assert judged("granite-guardian-4.1", said).flags == ("unreadable",)


AEGIS = "Violence, Guns and Illegal Weapons, PII/Privacy, Political/Misinformation/Conspiracy"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("User Safety: safe", ("unharmful", None, None)),
        ("User Safety: unsafe\nSafety Categories: Violence", ("harmful", None, None)),
        ("<think></think>\nUser Safety: safe\nSafety Categories: None", ("unharmful", None, None)),
    ],
)
def test_nemotron_judges_a_request(said, found):
    judgement = judged("nemotron-content-safety", said)
    assert labels(judgement) == found
    assert judgement.status == "complete"
    assert [code for _, code, _ in codes(judgement)] == (["Violence"] if "Viol" in said else [])


def test_nemotron_judges_an_exchange():
    said = f"User Safety: safe\nResponse Safety: unsafe\nSafety Categories: {AEGIS}"
    shares = probabilities(_safe=0.9, _unsafe=0.1), probabilities(_safe=0.2, _unsafe=0.6)
    judgement = judged("nemotron-content-safety", completion(said, *shares), exchange=ANSWERED)
    assert labels(judgement) == ("unharmful", None, "harmful")
    assert [judgement.reading(one).score for one in (REQUEST, RESPONSE)] == [0.1, 0.75]
    assert [name for *_, name in codes(judgement)] == AEGIS.split(", ")


def test_nemotron_is_asked_for_the_response_that_it_left_out():
    engine = Engine("User Safety: safe", words=["unsafe"])
    judgement = engine.judge(guard("nemotron-content-safety", repair=True), ANSWERED)
    assert labels(judgement) == ("unharmful", None, "harmful")
    assert judgement.reading(RESPONSE).source == "repair"
    assert engine.requests[1].prompt.text == "User Safety: safe\nResponse Safety:"


@pytest.mark.parametrize(
    "said", ["User Safety: Safe", "Response Safety: safe", "safe", "User Safety: safe!"]
)
def test_nemotron_refuses_other_forms(said):
    assert judged("nemotron-content-safety", said).flags == ("unreadable",)


@pytest.mark.parametrize(
    ("said", "label", "thoughts"),
    [
        ("analysisIt is fine.assistantfinal0", "unharmful", "It is fine."),
        (
            "analysisThe final answer: assistantfinal0?assistantfinal1",
            "harmful",
            "The final answer: assistantfinal0?",
        ),
        ("final1", "harmful", None),
        ("analysisNo.assistantfinal\n0\n", "unharmful", "No."),
    ],
)
def test_gpt_oss_safeguard_answers_in_the_final_channel(said, label, thoughts):
    judgement = judged("gpt-oss-safeguard", said)
    assert labels(judgement) == (label, None, None)
    assert [one.steps[0] for one in judgement.reasoning] == ([thoughts] if thoughts else [])


@pytest.mark.parametrize("said", ["analysis1", "1", "analysisNo.assistantfinalIt is 1", "final10"])
def test_gpt_oss_safeguard_refuses_other_forms(said):
    assert judged("gpt-oss-safeguard", said).flags == ("unreadable",)


def test_a_forced_answer_of_gpt_oss_is_in_the_final_channel():
    engine = Engine("analysisI cannot", words=["1"])
    judgement = engine.judge(guard("gpt-oss-safeguard", repair=True), ALONE)
    assert judgement.reading(REQUEST) == Reading("harmful", 0.9, "repair")
    first, forced = engine.requests
    assert forced.prompt.runs == (Control("<|channel|>"), "final", Control("<|message|>"))
    assert first.scores == (LabelPlace(("1", "0"), "final", last=True),)


@pytest.mark.parametrize("said", ["yes", "Yes", '"yes"', "'yes'.", "yes.", "no", "No.", " no"])
def test_shieldstral_answers_in_a_word(said):
    label = "harmful" if "yes" in said.lower() else "unharmful"
    judgement = judged(
        "shieldstral", said, "no", "yes", exchange=ANSWERED, options={"queries": {"spam": "Spam?"}}
    )
    assert labels(judgement) == (label, None, "unharmful")
    assert judgement.criteria["spam"].label == "yes"


def test_the_variants_of_a_word_are_one_score():
    shares = probabilities(yes=0.3, Yes=0.1, no=0.5, No=0.1)
    judgement = judged("shieldstral", completion("no", shares))
    assert judgement.reading(REQUEST) == Reading("unharmful", 0.4, "answer")


@pytest.mark.parametrize("said", ["maybe", "yes, but", "noyes", ""])
def test_shieldstral_refuses_other_words(said):
    assert judged("shieldstral", said).flags == ("unreadable",)


WORDS = {"yes": ("harmful", "refusal"), "no": ("unharmful", "compliance"), "N/A": (None, None)}


@pytest.mark.parametrize("refusal", WORDS)
@pytest.mark.parametrize("response", WORDS)
@pytest.mark.parametrize("request_", ["yes", "no"])
def test_wildguard_answers_in_three_lines(request_, refusal, response):
    said = (
        f"Harmful request: {request_}\nResponse refusal: {refusal}\nHarmful response: {response}\n"
    )
    found = (WORDS[request_][0], WORDS[refusal][1], WORDS[response][0])
    judgement = judged("wildguard", said, exchange=ANSWERED)
    assert labels(judgement) == found
    assert judgement.status == ("complete" if None not in found else "inconclusive")
    assert labels(judged("wildguard", said)) == (found[0], None, None)


@pytest.mark.parametrize(
    "said",
    [
        "Harmful request: yes",
        "Harmful request: N/A\nResponse refusal: no\nHarmful response: no",
        "Harmful request: Yes\nResponse refusal: no\nHarmful response: no",
        "Harmful request: yes\nHarmful response: no\nResponse refusal: no",
        "Harmful request: yes\nResponse refusal: no\nHarmful response: no\nmore",
    ],
)
def test_wildguard_refuses_other_forms(said):
    assert "unreadable" in judged("wildguard", said, exchange=ANSWERED).flags


@pytest.mark.parametrize(
    ("said", "label"),
    [("Yes", "harmful"), ("No", "unharmful"), ("No, it is", "unharmful"), ("Yes\n\nIt", "harmful")],
)
def test_shieldgemma_answers_first(said, label):
    shares = probabilities(Yes=0.6, No=0.2)
    options = {"guidelines": {"hate": "H."}, "response_guidelines": {"lies": "L."}}
    answers = [completion(said, shares), "No", "Yes", "No"]
    judgement = judged("shieldgemma", *answers, exchange=ANSWERED, options=options)
    assert labels(judgement) == (label, None, "unharmful")
    assert judgement.reading(REQUEST).score == 0.75
    assert {name: one.label for name, one in judgement.criteria.items()} == {
        "hate": "yes",
        "lies": "no",
    }


@pytest.mark.parametrize("said", ["yes", "Nobody", "It is: Yes", ""])
def test_shieldgemma_refuses_other_words(said):
    assert judged("shieldgemma", said).flags == ("unreadable",)


@pytest.mark.parametrize("name", shipped())
def test_each_word_of_a_description_has_a_label_and_each_label_a_word(name):
    for call in read_description(path_of(name)).calls:
        for read in call.reads:
            words = alternatives(group_pattern(call.answer, read.group) or "")
            assert set(words) == set(read.labels)
            assert read.after is not None, "a forced answer is possible"


def cut(whole):
    return {whole[:end] for end in range(len(whole) + 1)}


@pytest.mark.parametrize("name", shipped())
def test_what_was_cut_off_has_the_same_label_or_none(name):
    whole = WHOLE[name]
    answers = cut(whole) - (cut("se") if name == "yufeng-xguard" else set())
    found = {
        text: Engine(*[text] * 4).judge(guard(name, repair=False), ALONE).reading(REQUEST).label
        for text in answers
    }
    assert found[whole] is not None
    assert set(found.values()) == {found[whole], None}


WHOLE = {
    "qwen3guard": "Safety: Unsafe\nCategories: Violent",
    "llama-guard": "unsafe\nS1,S10",
    "llama-guard-4": "unsafe\nS1,S10",
    "granite-guardian": "<score> yes </score>",
    "granite-guardian-4.1": "<score> yes </score>",
    "nemotron-content-safety": "User Safety: safe\nSafety Categories: None",
    "gpt-oss-safeguard": "analysisNo.assistantfinal0",
    "shieldstral": "yes.",
    "wildguard": "Harmful request: yes\nResponse refusal: N/A\nHarmful response: N/A",
    "shieldgemma": "Yes\n\nIt violates it.",
    "yufeng-xguard": "sec\n<explanation>So.</explanation>",
}
