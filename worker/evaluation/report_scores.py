"""The scores in the report: their figures, curves and reliability, and what verdicts cost."""

from collections.abc import Iterable
from typing import Any

from worker.evaluation.intervals import Estimate
from worker.evaluation.plots import CurvePlot, curve_plot
from worker.evaluation.results import Comparison, Evaluation
from worker.evaluation.score_figures import BINS, ScoreFigures
from worker.runtime.calibration_document import ReliabilityBin


def score_parts(evaluation: Evaluation) -> dict[str, Any]:
    """What the template shows of scores and costs; empty parts are not shown."""
    scored = [(task, one.scores) for task, one in evaluation.tasks.items() if one.scores]
    return {
        "bins": BINS,
        "score_names": (
            *("task", "scores", "positive", "AUC", "TPR at 1 % FPR", "TPR at 0.1 % FPR"),
            *("ECE", "Brier"),
        ),
        "score_rows": [[task, *_figures(one)] for task, one in scored],
        "scored": [(task, _plots(task, one)) for task, one in scored],
        "costs": [
            [name, f"{one.verdicts:,}", f"{one.tokens:.1f}", f"{one.requests:.2f}"]
            for name, one in evaluation.costs.items()
        ],
    }


def score_difference_parts(comparison: Comparison) -> dict[str, Any]:
    """What the template shows of two runs' scores."""
    return {
        "score_difference_names": (
            *("task", "scores", "AUC, this run", "AUC, the other", "difference"),
            *("of TPR at 1 % FPR", "of TPR at 0.1 % FPR"),
        ),
        "score_differences": [
            [
                task,
                f"{scores.rows:,}",
                number(scores.auc),
                number(scores.other_auc),
                interval(scores.auc_difference, signed=True),
                interval(scores.tpr_at_1_percent_difference, signed=True),
                interval(scores.tpr_at_01_percent_difference, signed=True),
            ]
            for task, one in comparison.tasks.items()
            if (scores := one.scores) is not None
        ],
    }


def reliability_points(bins: Iterable[ReliabilityBin]) -> list[tuple[float, float]]:
    """The mean score and the share of positives of each bin that has any."""
    return [
        (one.score, one.positive)
        for one in bins
        if one.score is not None and one.positive is not None
    ]


def _figures(scores: ScoreFigures) -> list[str]:
    shown = (
        *(scores.auc, scores.tpr_at_1_percent, scores.tpr_at_01_percent),
        *(scores.ece, scores.brier),
    )
    return [f"{scores.n:,}", f"{scores.positives:,}", *map(number, shown)]


def _plots(task: str, scores: ScoreFigures) -> list[CurvePlot]:
    return [
        curve_plot(
            {"ROC": scores.roc},
            f"ROC of {task}",
            x_label="false-positive rate",
            y_label="true-positive rate",
            has_diagonal=True,
        ),
        curve_plot(
            {"precision": scores.precision_recall},
            f"Precision and recall of {task}",
            x_label="recall",
            y_label="precision",
        ),
        curve_plot(
            {"scores": reliability_points(scores.bins)},
            f"Reliability of {task}",
            x_label="mean score of the bin",
            y_label="share that is positive",
            has_diagonal=True,
            has_dots=True,
        ),
    ]


def interval(estimate: Estimate, *, signed: bool = False) -> str:
    """A figure with its interval."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "-"
    sign = "+" if signed else ""
    return f"{estimate.value:{sign}.3f} [{estimate.low:{sign}.3f}, {estimate.high:{sign}.3f}]"


def number(value: float | None) -> str:
    """A figure, or that there is none."""
    return "-" if value is None else f"{value:.3f}"
