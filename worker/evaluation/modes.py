"""What each mode of reasoning would have said and cost, and which may be used.

Both stages of every event are known, so a mode is simulated by choosing, for each event, what it
would have read. Curves, thresholds and bands are those that were made without the event.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from worker.domain.calibration import ReasoningMode
from worker.domain.questions import Question, is_flagged
from worker.evaluation.calibrating import CalibratedQuestion, combine, rounded
from worker.evaluation.comparing import Pair, compare_task
from worker.evaluation.score_figures import FALSE_POSITIVE_RATES, Scores, Truths, tpr_at
from worker.evaluation.scored import ScoredEvent
from worker.evaluation.scoring import Tally, strict
from worker.runtime.calibration_document import Interval, ModeFigures, TaskInMode

LEAST_AUC = 0.9
LEAST_MASS = 0.5


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Of the intervals of differences."""

    resamples: int = 1000
    seed: int = 0


def simulate_modes(
    questions: Sequence[CalibratedQuestion],
    events: Sequence[ScoredEvent],
    *,
    of: Sequence[str],
    budget: float,
    bootstrap: Bootstrap,
) -> dict[ReasoningMode, ModeFigures]:
    """The figures of every mode, and whether it may be used.

    Args:
        questions: those that were calibrated.
        events: with scores of both stages.
        of: the names of all questions of the guard; one that has no calibration rules a mode out.
        budget: the largest share of events that lose a right label, and the largest loss of F1.
        bootstrap: of the intervals.
    """
    missing = next((name for name in of if name not in {o.question.name for o in questions}), None)
    return {
        mode: _figures(mode, questions, events, missing=missing, budget=budget, bootstrap=bootstrap)
        for mode in get_args(ReasoningMode)
    }


def _figures(
    mode: ReasoningMode,
    questions: Sequence[CalibratedQuestion],
    events: Sequence[ScoredEvent],
    *,
    missing: str | None,
    budget: float,
    bootstrap: Bootstrap,
) -> ModeFigures:
    reasons = _reasons(mode, questions, len(events))
    tasks = {one.question.name: _task(mode, one, events, reasons, bootstrap) for one in questions}
    why = _why_not(mode, questions, tasks, budget)
    if missing is not None and mode != "always":
        why = f"No event has a label of {missing}, so its scores are not calibrated."
    asks_first = mode != "always"
    spent = [
        asks_first * np.array(one.first) + reasoned * np.array(one.after)
        for one, reasoned in zip(events, reasons, strict=True)
    ]
    tokens, requests = np.mean(spent, axis=0).tolist()
    return ModeFigures(
        released=why is None,
        why=why,
        tasks=tasks,
        reasoned=float(reasons.mean()),
        tokens=tokens,
        requests=requests,
    )


def _reasons(mode: ReasoningMode, questions: Sequence[CalibratedQuestion], events: int) -> Truths:
    """About which events the guard reasons: one question that needs it is enough."""
    if mode == "always":
        return np.ones(events, dtype=bool)
    reasons = np.zeros(events, dtype=bool)
    if mode == "never":
        return reasons
    for one in questions:
        held = one.held
        reasons |= held.is_unsure
        if mode == "flagged" and is_flagged(one.question.name):
            reasons |= held.applies & (rounded(held.first) >= held.threshold)
    return reasons


def _task(
    mode: ReasoningMode,
    one: CalibratedQuestion,
    events: Sequence[ScoredEvent],
    reasons: Truths,
    bootstrap: Bootstrap,
) -> TaskInMode:
    question, held = one.question, one.held
    name = question.name
    labels = _labels(mode, one, events, reasons)
    rows = [n for n, event in enumerate(events) if held.applies[n] and event.labels.get(name)]
    pairs, lost = [], 0
    for n in rows:
        after = events[n].reasoned.get(name)
        lost += not reasons[n] and labels[n] != after == events[n].labels[name]
        pairs.append(_pair(name, events[n].labels, labels[n], after))
    f1, difference = _compared(mode, question, pairs, bootstrap)
    truths = np.array([events[n].labels[name] == question.positive for n in rows], dtype=bool)
    scores = _scores(mode, one, reasons)[rows]
    return TaskInMode(
        f1=f1,
        difference=difference,
        lost=lost / len(rows),
        tpr_at_1_percent=tpr_at(scores, truths, FALSE_POSITIVE_RATES[0]),
    )


def _compared(
    mode: ReasoningMode, question: Question, pairs: Sequence[Pair], bootstrap: Bootstrap
) -> tuple[float | None, Interval]:
    """F1, and its difference to that of `always`: none at all to itself."""
    if mode == "always":
        tally = Tally([question])
        for pair in pairs:
            tally.add(pair.labels, pair.ours)
        return strict(tally.confusion(question)).f1, Interval(0.0, 0.0, 0.0)
    found = compare_task(question, pairs, resamples=bootstrap.resamples, seed=bootstrap.seed)
    difference = found.difference
    return found.f1, Interval(difference.value, difference.low, difference.high)


def _pair(
    name: str, labels: Mapping[str, str | None], label: str | None, after: str | None
) -> Pair:
    return Pair({name: labels[name]}, {name: label}, {name: after})


def _scores(mode: ReasoningMode, one: CalibratedQuestion, reasons: Truths) -> Scores:
    """The score of each verdict: of both stages where both were asked for."""
    held = one.held
    if mode == "always":
        return held.reasoned
    after = np.where(held.is_believed, combine(held.first, held.reasoned), held.reasoned)
    return rounded(np.where(reasons, after, held.first))


def _labels(
    mode: ReasoningMode, one: CalibratedQuestion, events: Sequence[ScoredEvent], reasons: Truths
) -> list[str | None]:
    """The label that each event would get: in a cascade, that of its score."""
    question, held = one.question, one.held
    other = next(label for label in question.labels if label != question.positive)
    thresholds = np.where(reasons, held.combined_threshold, held.threshold)
    positive = _scores(mode, one, reasons) >= thresholds
    found: list[str | None] = []
    for n, event in enumerate(events):
        said = event.reasoned.get(question.name)
        if mode == "always" or (reasons[n] and said is None):
            found.append(said)
        elif not reasons[n] and not held.is_believed[n]:
            found.append(None)
        else:
            found.append(question.positive if positive[n] else other)
    return found


def _why_not(
    mode: ReasoningMode,
    questions: Sequence[CalibratedQuestion],
    tasks: Mapping[str, TaskInMode],
    budget: float,
) -> str | None:
    """Why a mode may not be used; None where it may."""
    if mode == "always":
        return None
    for one in questions:
        name, first = one.question.name, one.figures.first
        if first.auc < LEAST_AUC:
            return (
                f"The first scores of {name} do not separate: AUC {first.auc:.3f}, and"
                f" {LEAST_AUC} is needed."
            )
        if first.mean_mass < LEAST_MASS:
            return (
                f"The model does not expect an answer to {name} before it reasons: its labels have"
                f" {first.mean_mass:.1%} of the probability on average, and {LEAST_MASS:.0%} is"
                " needed."
            )
        if (reason := _over_budget(mode, one, tasks[name], budget)) is not None:
            return reason
    return None


def _over_budget(
    mode: ReasoningMode, one: CalibratedQuestion, task: TaskInMode, budget: float
) -> str | None:
    name = one.question.name
    share = {"unsure": one.figures.band.outside_error, "flagged": task.lost}.get(mode, 0.0)
    if share > budget:
        return (
            f"Of the events, {share:.2%} lose a right label of {name} because they are not reasoned"
            f" about, and {budget:.2%} are allowed."
        )
    lost = -(task.difference.value or 0.0)
    if lost > budget:
        return (
            f"F1 of {name} is {100 * lost:.1f} points lower than with `always`, and"
            f" {100 * budget:g} are allowed."
        )
    return None
