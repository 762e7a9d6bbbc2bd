"""What an answer of a declared guard says: labels, scores, categories, reasoning."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from worker.domain.calibration import SCORE_DIGITS, Calibration, Stage
from worker.domain.engines import Completion
from worker.domain.guard import CompletionSpan
from worker.domain.judgements import Category, Reading, Reasoning, StageScore
from worker.guards.declared.plan import PlannedCall, PlannedRead

UNREADABLE = "unreadable"
TRUNCATED = "truncated"
LOOPING = "looping"
REPAIRED = "repaired"
IMPROBABLE = "answer_improbable"

FLAGS = {
    UNREADABLE: "a completion has another form than the answers of this guard",
    TRUNCATED: "the completion reached the token limit before its answer was complete",
    LOOPING: "the completion repeats itself, and has no complete answer",
    REPAIRED: "a label is an answer that was forced after the completion",
    IMPROBABLE: "an answer was asked for and not used: the model was not about to answer",
}
_CUT = {"length": TRUNCATED, "repetition": LOOPING}


@dataclass(frozen=True, slots=True)
class Scoring:
    """How probabilities become scores.

    Attributes:
        least_mass: of all words together, below which there is no score.
    """

    calibration: Calibration
    least_mass: float

    def probability(self, score: StageScore) -> float:
        """The calibrated probability of the positive label."""
        calibration = self.calibration.of(score.question)
        curve = calibration.first if score.stage == "first" else calibration.reasoned
        return round(curve.probability(score.raw), SCORE_DIGITS)


@dataclass(slots=True)
class Answer:
    """What was read of the completions of one call.

    Attributes:
        words: by the group that matched them.
        readings: by the question's name; none for a question without a label.
    """

    words: dict[str, str] = field(default_factory=dict)
    readings: dict[str, Reading] = field(default_factory=dict)
    scores: list[StageScore] = field(default_factory=list)
    categories: tuple[Category, ...] = ()
    reasoning: tuple[Reasoning, ...] = ()
    flags: tuple[str, ...] = ()


def read_answer(
    call: PlannedCall, completion: Completion, scoring: Scoring, *, has_response: bool
) -> Answer:
    """Read a completion; an answer of another form has no labels."""
    groups = _groups(call, completion)
    if groups is None:
        cut = _CUT.get(completion.finish_reason or "")
        return Answer(flags=(UNREADABLE, cut) if cut else (UNREADABLE,))
    answer = Answer(words={name: text for name, (text, _) in groups.items()})
    thoughts = answer.words.get(call.source.reasoning or "", "").strip()
    # an explanation can follow the label
    thought_at = groups.get(call.source.reasoning or "", ("", 0))[1]
    if thoughts:
        answer.reasoning = (Reasoning(call.reads[0].question.name, (thoughts,), None),)
    given = dict(zip((id(read) for read in _scored(call)), completion.logprobs, strict=False))
    for read in call.reads:
        if not read.question.applies(has_response=has_response):
            continue
        label = read.labels.get(answer.words.get(read.group, ""))
        if label is None:
            answer.flags = (UNREADABLE,)
            continue
        stage: Stage = "reasoned" if thoughts and thought_at < groups[read.group][1] else "first"
        score = stage_score(read, given.get(id(read), {}), stage)
        value = None
        if score is not None:
            answer.scores.append(score)
            if score.mass >= scoring.least_mass:
                value = scoring.probability(score)
        answer.readings[read.question.name] = Reading(label, value, "answer")
    answer.categories = tuple(_categories(call, answer.words, has_response=has_response))
    return answer


def stage_score(
    read: PlannedRead, logprobs: Mapping[str, float], stage: Stage
) -> StageScore | None:
    """The probability of the positive label among the words; None where none was returned."""
    shares = {
        word: math.exp(logprobs[choice])
        for word, choice in zip(read.labels, read.choices, strict=True)
        if choice in logprobs
    }
    mass = sum(shares.values())
    if not mass:
        return None
    positive = read.question.positive
    of_positive = sum(share for word, share in shares.items() if read.labels[word] == positive)
    return StageScore(read.question.name, stage, of_positive / mass, min(mass, 1.0))


def read_forced(
    read: PlannedRead, completion: Completion, scoring: Scoring
) -> tuple[str, Reading, StageScore | None]:
    """The word and the reading of a forced answer; no label where the words were improbable."""
    word = completion.text.strip()
    (logprobs, *_) = completion.logprobs or ({},)
    score = stage_score(read, logprobs, "first")
    label = read.labels.get(word)
    if label is None or score is None or score.mass < scoring.least_mass:
        return "", Reading(), score
    return word, Reading(label, scoring.probability(score), "repair"), score


def severity_of(answers: Sequence[tuple[PlannedCall, Answer]]) -> str | None:
    """The highest level of all answers."""
    found = [
        (call.source.severity.levels.index(level), level)
        for call, answer in answers
        if call.source.severity is not None
        and (level := answer.words.get(call.source.severity.group)) in call.source.severity.levels
    ]
    return max(found)[1] if found else None


def spans_of(call: PlannedCall, completion: Completion) -> tuple[CompletionSpan, ...]:
    """Where a completion says what was read of it."""
    groups = _groups(call, completion) or {}
    wanted = [("label", read.group, read.question.name) for read in call.reads]
    if call.source.reasoning is not None:
        wanted.append(("step", call.source.reasoning, call.reads[0].question.name))
    return tuple(
        sorted(
            CompletionSpan(start, start + len(text), "step" if kind == "step" else "label", of)
            for kind, group, of in wanted
            if group in groups
            for text, start in (groups[group],)
            # what is given of the answer is no part of the completion
            if start >= 0 and text
        )
    )


def _scored(call: PlannedCall) -> Iterator[PlannedRead]:
    return (read for read in call.reads if read.place is not None)


def _groups(call: PlannedCall, completion: Completion) -> dict[str, tuple[str, int]] | None:
    """The text of each group that took part, and its position in the completion."""
    text = call.prefill + completion.text
    answer = text.strip()
    match = call.pattern.fullmatch(answer)
    if match is None:
        return None
    offset = len(text) - len(text.lstrip()) - len(call.prefill)
    found = {}
    for name, number in call.pattern.groups.items():
        start, end = match.span(number)
        if start >= 0:
            found[name] = (answer[start:end], start + offset)
    return found


def _categories(
    call: PlannedCall, words: Mapping[str, str], *, has_response: bool
) -> Iterator[Category]:
    listed = call.categories
    if listed is None or not listed.question.applies(has_response=has_response):
        return
    codes = (code.strip() for code in words.get(listed.group, "").split(listed.separator))
    for code in dict.fromkeys(codes):
        if code and code not in listed.none:
            yield Category(listed.question.name, code, listed.names.get(code, code))
