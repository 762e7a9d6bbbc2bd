"""Answer-first rows: a prompt and the block of answers, without the reasoning.

A guard that has only learnt to reason first does not expect its answers right after the prompt, so
its scores there mean nothing. These rows teach it. The loss is on each label and the token after
it, not on the first heading: a completion that nobody asks to begin with its answers begins with
reasoning.
"""

from collections.abc import Sequence
from typing import Any

from training.rows import Encoder, Row, fraction
from worker.evaluation.labelled import LabelledEvent
from worker.guards.guardreasoner.answers import headings, questions_of, written


def is_answer_first(name: str, share: float, seed: int) -> bool:
    """Whether the row of this id belongs to a share of the rows, with or without a completion.

    The id and the seed alone decide, and a larger share has all rows of a smaller one.
    """
    return fraction(f"{seed} answer-first {name}") < share


def encode_answers(encoder: Encoder, rows: Sequence[Row], limit: int) -> list[dict[str, Any]]:
    """Answer-first rows as the trainer takes them, without those that are too long.

    A row without a label of the request has nothing that can come first, and is left out too.
    """
    prompts = encoder.prompts([row.event for row in rows], limit)
    encoded = []
    for row, prompt in zip(rows, prompts, strict=True):
        answers, mask = block(encoder, row.event)
        if prompt is None or not answers or len(prompt) + len(answers) > limit:
            continue
        encoded.append(
            {
                "input_ids": [*prompt, *answers],
                "completion_mask": [0] * len(prompt) + mask,
            }
        )
    return encoded


def block(encoder: Encoder, event: LabelledEvent) -> tuple[list[int], list[int]]:
    """The tokens of an event's answers, and for each 1 where it is learnt, 0 where it is given.

    A label that nobody gave ends the block before its heading. What would follow is unknown then,
    so there is no end to learn.
    """
    ids: list[int] = []
    mask: list[int] = []
    has_response = event.exchange.response is not None
    for number, (question, heading) in enumerate(headings(questions_of(has_response=has_response))):
        label = event.labels[question.name]
        if label is None:
            return ids, mask
        given, learnt = encoder.piece(heading), encoder.piece(written(label))
        # of a later heading its first token, as opposed to the end
        ids += [*given, *learnt]
        mask += [1 if number and not at else 0 for at in range(len(given))] + [1] * len(learnt)
    return [*ids, encoder.end], [*mask, 1]
