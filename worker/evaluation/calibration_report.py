"""A calibration as one page of HTML that needs no other file."""

from worker.evaluation.calibration_tables import (
    LIMIT_COLUMNS,
    STAGE_COLUMNS,
    limit_rows,
    mode_columns,
    mode_rows,
    released,
    stage_rows,
)
from worker.evaluation.plots import CurvePlot, curve_plot
from worker.evaluation.report import ENVIRONMENT
from worker.evaluation.report_scores import reliability_points
from worker.evaluation.score_figures import BINS
from worker.runtime.calibration_document import CalibrationFile, StageFigures

_CURVE_POINTS = 101


def render_calibration(document: CalibrationFile) -> str:
    """The page."""
    guard, data = document.guard, document.data
    return ENVIRONMENT.get_template("calibration.html.j2").render(
        document=document,
        bins=BINS,
        stage_names=STAGE_COLUMNS,
        stage_rows=list(stage_rows(document)),
        limit_names=LIMIT_COLUMNS,
        limit_rows=list(limit_rows(document)),
        mode_names=mode_columns(document),
        mode_rows=list(mode_rows(document)),
        released=list(released(document)),
        plots=[
            (
                f"{name}, {stage}",
                [_reliability(figures, f"{name}, {stage}"), _curve(figures, f"{name}, {stage}")],
            )
            for name, one in document.questions.items()
            for stage, figures in (
                ("before reasoning", one.first),
                ("after reasoning", one.reasoned),
            )
        ],
        sources=[
            ("events", data.file),
            ("sha256 of the events", data.sha256),
            ("guard", guard.name),
            ("model", guard.model),
            ("revision", guard.revision or "-"),
            ("prompt sha256", guard.prompt_sha256),
            ("engine", f"{document.engine.name} {document.engine.version}"),
            ("folds and seed", f"{document.folds}, {document.seed}"),
            ("made at", document.made_at),
            ("guardstream", document.guardstream),
        ],
    )


def _reliability(figures: StageFigures, title: str) -> CurvePlot:
    return curve_plot(
        {
            "calibrated": reliability_points(figures.reliability),
            "raw": reliability_points(figures.reliability_before),
        },
        f"Reliability of {title}",
        x_label="mean score of the bin",
        y_label="share that is positive",
        has_diagonal=True,
        has_dots=True,
    )


def _curve(figures: StageFigures, title: str) -> CurvePlot:
    curve = figures.curve.curve()
    at = [n / (_CURVE_POINTS - 1) for n in range(_CURVE_POINTS)]
    return curve_plot(
        {figures.curve.kind: [(raw, curve.probability(raw)) for raw in at]},
        f"Curve of {title}",
        x_label="raw score",
        y_label="probability",
        has_diagonal=True,
    )
