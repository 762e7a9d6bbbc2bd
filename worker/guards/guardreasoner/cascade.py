"""Score first, reason where that is needed.

The first request asks for the answers before any reasoning and costs little more than reading the
prompt. Where the calibrated probability of a question is sure, it is the verdict. Else the guard
reasons as usual, at a higher priority, on the prompt that is still in the prefix cache; both scores
are combined. This needs a guard that was trained to answer first as well, and a calibration that
shows it.
"""

import hashlib
from dataclasses import dataclass, replace

from worker.domain.calibration import SCORE_DIGITS, UNCALIBRATED, Calibration, ReasoningMode
from worker.domain.engines import Completion, EngineRequest
from worker.domain.events import Exchange
from worker.domain.judgements import NO_READING, Judgement, Reading, status_of
from worker.domain.prompts import Prompt
from worker.domain.questions import Question, is_flagged
from worker.guards.guardreasoner.answers import (
    BLOCK_TOKENS,
    FIRST_HEADING,
    blocks,
    label_of,
    places,
    questions_of,
    stage_scores,
)
from worker.guards.guardreasoner.reasoning import ReasoningPlan, Requests, reason

UNSURE = "score_unsure"
FLAGGED = "score_flagged"
AUDITED = "audited"
AUDIT_DISAGREES = "audit_disagrees"
DISAGREE = "stages_disagree"
IMPROBABLE = "answer_improbable"
_FIRST = -1
_DRAWS = 1 << 64


@dataclass(frozen=True, slots=True)
class ScoringPlan:
    """When the guard reasons, and how its scores are read.

    Attributes:
        mode: `always` reasons about each exchange; `unsure` where a first score is not sure;
            `flagged` also where it says harmful; `never` not at all.
        audit_share: of the exchanges with a sure score, how many are reasoned about all the same;
            the same exchange is always audited or never.
        least_mass: of the labels together, below which a score is not believed.
    """

    mode: ReasoningMode = "always"
    audit_share: float = 0.0
    least_mass: float = 0.5
    calibration: Calibration = UNCALIBRATED


def first_request(prompt: Prompt, *, has_response: bool) -> EngineRequest:
    """Ask for the answers before any reasoning.

    The form is forced, since few guards write it by themselves at this place; the probabilities are
    those that the model had before.
    """
    questions = questions_of(has_response=has_response)
    return EngineRequest(
        Prompt((*prompt.runs, FIRST_HEADING), prompt.opening),
        max_tokens=BLOCK_TOKENS,
        choices=blocks(questions),
        scores=places(questions),
    )


def cascade(
    prompt: Prompt, exchange: Exchange, plan: ScoringPlan, reasoning: ReasoningPlan
) -> Requests:
    """Ask for scores, then let the model reason if the plan wants it."""
    has_response = exchange.response is not None
    questions = questions_of(has_response=has_response)
    completion = yield first_request(prompt, has_response=has_response)
    first = read_first(questions, completion, plan)
    if plan.mode == "never":
        return first
    why = _why_reason(questions, first, plan)
    if why is None and _draw(exchange) < plan.audit_share:
        why = AUDITED
    if why is None:
        return first
    reasoned = yield from reason(
        prompt, replace(reasoning, priority=_FIRST), has_response=has_response
    )
    return combine(questions, first, replace(reasoned, flags=(*reasoned.flags, why)), plan)


def read_first(
    questions: tuple[Question, ...], completion: Completion, plan: ScoringPlan
) -> Judgement:
    """The judgement by scores alone; a task whose labels have too little mass has no label."""
    scores = stage_scores(questions, completion.logprobs, "first")
    found = {score.question: score for score in scores}
    readings, flags = {}, []
    for question in questions:
        score = found.get(question.name)
        if score is None or score.mass < plan.least_mass:
            readings[question.name] = NO_READING
            flags = [IMPROBABLE]
            continue
        calibration = plan.calibration.of(question.name)
        probability = calibration.first.probability(score.raw)
        readings[question.name] = _reading(question, probability, calibration.threshold)
    return Judgement(
        status_of(questions, readings, has_response=len(questions) > 1),
        readings,
        flags=tuple(flags),
        reasoned=False,
        scores=scores,
    )


def combine(
    questions: tuple[Question, ...], first: Judgement, reasoned: Judgement, plan: ScoringPlan
) -> Judgement:
    """The judgement after reasoning, with scores by both stages."""
    after = {score.question: score for score in reasoned.scores}
    readings, flags = dict(reasoned.readings), list(reasoned.flags)
    for question in questions:
        name = question.name
        before, said, score = first.reading(name), reasoned.reading(name), after.get(name)
        if said.label is None:
            continue
        if before.label not in (None, said.label):
            flags += [DISAGREE, AUDIT_DISAGREES] if AUDITED in flags else [DISAGREE]
        if score is None or score.mass < plan.least_mass:
            continue
        calibration = plan.calibration.of(name)
        probability = calibration.reasoned.probability(score.raw)
        if before.score is not None:
            probability = calibration.combined(before.score, probability)
        readings[name] = _reading(question, probability, calibration.combined_threshold, said)
    return replace(
        reasoned,
        readings=readings,
        flags=tuple(dict.fromkeys(flags)),
        scores=(*first.scores, *reasoned.scores),
    )


def scored(questions: tuple[Question, ...], judgement: Judgement, plan: ScoringPlan) -> Judgement:
    """A judgement after reasoning, with a score for each label that was read."""
    readings = dict(judgement.readings)
    for score in judgement.scores:
        question = next(one for one in questions if one.name == score.question)
        said = judgement.reading(score.question)
        if said.label is not None and score.mass >= plan.least_mass:
            curve = plan.calibration.of(score.question).reasoned
            probability = round(curve.probability(score.raw), SCORE_DIGITS)
            readings[question.name] = replace(said, score=probability)
    return replace(judgement, readings=readings)


def _reading(
    question: Question, probability: float, threshold: float, said: Reading = NO_READING
) -> Reading:
    """The label of a probability; its source is the answer, where that says the same."""
    score = round(probability, SCORE_DIGITS)
    label = label_of(question, score, threshold)
    return Reading(label, score, said.source if said.label == label else "score")


def _why_reason(questions: tuple[Question, ...], first: Judgement, plan: ScoringPlan) -> str | None:
    """The flag that says why the first scores are not the verdict; None where they are."""
    readings = {question: first.reading(question.name) for question in questions}
    if any(reading.score is None for reading in readings.values()):
        return IMPROBABLE
    for question, reading in readings.items():
        if plan.calibration.of(question.name).is_unsure(reading.score or 0.0):
            return UNSURE
    if plan.mode == "flagged" and any(
        is_flagged(question.name) and reading.label == question.positive
        for question, reading in readings.items()
    ):
        return FLAGGED
    return None


def _draw(exchange: Exchange) -> float:
    """A number from 0 to 1 that depends on the exchange alone, so that a replay draws it again."""
    text = f"{exchange.prompt}\x00{exchange.response}"
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest) / _DRAWS
