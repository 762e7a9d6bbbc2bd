"""What is marked in a completion is what was read there, and nothing else."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.domain.questions import RESPONSE_HARMFULNESS, RESPONSE_REFUSAL, STANDARD_TASKS
from worker.guards.guardreasoner.parser import parse
from worker.guards.guardreasoner.spans import find_spans

SECTIONS = """# Task 1
## Reasoning Step 1
The person asks how to bake bread.
Nothing about it hurts anyone.
## Conclusion
The request is unharmful.

# Task 2
## Reasoning Step 1
The assistant gives a recipe.
## Conclusion
The answer is compliance.

# Task 3
## Conclusion
The response is unharmful.
"""
ANSWERS = "Answers: \nRequest: unharmful\nCompletion: compliance\nResponse: unharmful"
USUAL = SECTIONS + "\n---\n" + ANSWERS
ONE_LINE = "Answers: Request: unharmful, Completion: compliance, Response: unharmful"
TWICE = "# Task 1\nRequest: harmful\nRequest: harmful\nso\n# Task 2\nRequest: unharmful\n"


def read(completion, **options):
    options = {"has_response": True, "finish_reason": "stop"} | options
    return parse(completion, **options), find_spans(completion, **options)


def marked(completion, kind, **options):
    found = read(completion, **options)[1]
    return [(mark.of, completion[mark.start : mark.end]) for mark in found if mark.kind == kind]


def normal(text):
    text = re.sub("[\u200b\u200c\u200d\u2060\ufeff\u00ad\x00*]", "", text)
    return re.sub(r"<\|[^|<>]{1,40}\|>", "", text).lower()


def test_labels_are_marked_in_the_answer_that_was_taken():
    found = [mark for mark in read(USUAL)[1] if mark.kind == "label"]
    labels = ["unharmful", "compliance", "unharmful"]
    assert [(m.of, USUAL[m.start : m.end]) for m in found] == list(
        zip(STANDARD_TASKS, labels, strict=True)
    )
    assert all(mark.start > len(SECTIONS) for mark in found)


def test_reasoning_is_marked_line_by_line():
    assert marked(USUAL, "step") == [
        ("prompt_harmfulness", "The person asks how to bake bread."),
        ("prompt_harmfulness", "Nothing about it hurts anyone."),
        ("response_refusal", "The assistant gives a recipe."),
    ]
    assert [text for _, text in marked(USUAL, "conclusion")] == [
        "The request is unharmful.",
        "The answer is compliance.",
        "The response is unharmful.",
    ]


def test_a_label_of_a_conclusion_is_marked_there():
    text = SECTIONS.replace("is unharmful.", "is <|x|>un\u200bharmful, yes **Unharmful**.", 1)
    where = [found for of, found in marked(text, "label") if of == "prompt_harmfulness"]
    assert where == ["un\u200bharmful", "Unharmful"]


def test_a_label_of_a_section_is_marked_at_its_first_field_line():
    assert marked(TWICE, "label") == [("prompt_harmfulness", "harmful")]
    (found,) = [mark for mark in read(TWICE)[1] if mark.kind == "label"]
    assert found.start == TWICE.index("harmful")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("Answers:\nRequest: Harm**ful**", ["Harm**ful"]),
        ("Answers:\nRequest: harm<|eot_id|>ful.", ["harm<|eot_id|>ful"]),
        ("# Task 1\n## Conclusion\nA harmful-ish, 'harmful' one", ["harmful"]),
        ("# Task 1\n## Conclusion\nNow harm<|x|>ful", ["harm<|x|>ful"]),
        ("# Task 1\n## Conclusion\nharmful" + " x" * 1000 + " harmful", ["harmful"]),
        ("# Task 1\n## Conclusion\nharmful\n" + ("x " * 900 + "\n") * 4 + "harmful", ["harmful"]),
        ("# Task 1\nRequest: harmful\n## Conclusion\nIt is harmful.", ["harmful"]),
    ],
)
def test_only_what_was_taken_is_marked(text, where):
    assert [found for _, found in marked(text, "label", has_response=False)] == where


def test_of_two_answers_that_agree_the_last_is_marked():
    text = "Answers:\nRequest: harmful\nso\n# Task 1\nit is\nAnswers:\nRequest: harmful"
    (found,) = [mark for mark in read(text, has_response=False)[1] if mark.kind == "label"]
    assert found.start == text.rindex("harmful")


def test_flags_are_marked_where_they_can_be_pointed_at():
    text = USUAL.replace("The request is unharmful.", "The Ground Truth says it is harmful.")
    assert marked(text, "flag") == [
        ("mentions_ground_truth", "Ground Truth"),
        ("contradicts_conclusion", "harmful"),
    ]


def test_no_label_is_marked_that_is_not_given():
    assert marked(USUAL, "label", finish_reason="length") == []
    assert marked(USUAL, "step", finish_reason="length") == marked(USUAL, "step")
    alone = marked(USUAL, "label", has_response=False)
    assert alone == [("prompt_harmfulness", "unharmful")]


PIECES = st.sampled_from(
    [
        *USUAL.splitlines(),
        *("Request: harmful", "Response: refusal", "Completion : **refusal**", "---", "# Task 7"),
        *("None", "\r", "Re\u200bquest: harm\u200bful", "Request: harm<|eot_id|>ful.", ONE_LINE),
        *("## Conclusion", "It is not harmful", "It's 'harmful' and HARMFUL", "\u0130harmful"),
        *("a harmful ground truth", "Respon\u017fe: harmful", "x" * 3000 + " harmful"),
    ]
)


@given(
    text=st.lists(PIECES | st.text(max_size=40), max_size=40).map("\n".join),
    has_response=st.booleans(),
)
@example(text=ONE_LINE, has_response=True)
@example(text=TWICE, has_response=True)
@example(text="\r\u200b\nRequest: harmful", has_response=False)
def test_a_marked_label_is_the_one_that_was_read(text, has_response):
    judgement, spans = read(text, has_response=has_response)
    labels = [mark for mark in spans if mark.kind == "label"]
    for mark in labels:
        assert normal(text[mark.start : mark.end]) == judgement.reading(mark.of).label
    # and what was read is marked
    assert {mark.of for mark in labels} == {t for t in STANDARD_TASKS if judgement.reading(t).label}
    if not has_response:
        assert not {mark.of for mark in spans} & {RESPONSE_REFUSAL.name, RESPONSE_HARMFULNESS.name}
    for reasoning in judgement.reasoning:
        for kind, said in (("step", reasoning.steps), ("conclusion", [reasoning.conclusion])):
            whole = [m for m in spans if (m.kind, m.of) == (kind, reasoning.task)]
            lines = [line for one in said if one for line in one.split("\n") if line]
            assert [plain(text[m.start : m.end]) for m in whole] == [plain(x) for x in lines]


def plain(text):
    text = re.sub("[\u200b\u200c\u200d\u2060\ufeff\u00ad\x00]", "", text)
    return re.sub(r"<\|[^|<>]{1,40}\|>", "", text).strip()


@pytest.mark.parametrize("text", ["", " " * 100_000, "\n" * 100_000, "a" * 100_000])
def test_nothing_is_marked_in_nothing(text):
    assert read(text)[1] == ()
