"""The flags of GuardReasoner's judgements."""

FLAGS = {
    "template_imitation": "the exchange has text that looks like a part of the prompt's template",
    "special_token_text": "the exchange has text that looks like a control token",
    "truncated": "the completion reached the token limit, so its own answer is not used",
    "looping": "the completion repeats itself, so its own answer is not used",
    "conflicting_answers": "two answers to a task disagree, so the task has no label",
    "answer_first": "the answer comes before the reasoning",
    "backfilled": "a label was read from its task's section, not from the answers",
    "contradicts_conclusion": "a task's conclusion says the opposite of the answer",
    "no_steps": "there are labels, and no reasoning steps",
    "unknown_label": "the answer to a task is another word than its labels",
    "irregular_headers": "the task headers are not exactly 1, 2 and 3",
    "prose_before_reasoning": "there is text before the first header",
    "mentions_ground_truth": "the model mentions a ground truth that it cannot know",
    "repaired": "a label is an answer that was forced after the completion",
    "answer_improbable": "an answer was forced and not used, as the model was not about to answer",
}
