"""The figures of a calibration as rows of text, for the terminal and the report."""

from collections.abc import Iterator

from worker.runtime.calibration_document import (
    CalibrationFile,
    Interval,
    ModeFigures,
    Threshold,
)

STAGE_COLUMNS = (
    *("question", "n", "positive", "scores", "curve", "AUC", "TPR@1%", "mass", "least"),
    *("ECE", "Brier"),
)
LIMIT_COLUMNS = (
    *("question", "scores", "threshold", "FPR", "FPR at most", "band", "inside", "wrong outside"),
)


def stage_rows(document: CalibrationFile) -> Iterator[tuple[str, ...]]:
    """How good the scores of each question are: before reasoning, after it, and both together."""
    for name, one in document.questions.items():
        counts = (name, f"{one.events:,}", f"{one.positives:,}")
        for stage, figures in (("first", one.first), ("reasoned", one.reasoned)):
            yield (
                *(counts if stage == "first" else ("", "", "")),
                stage,
                figures.curve.kind,
                f"{figures.auc:.3f}",
                f"{figures.tpr_at_1_percent:.3f}",
                f"{figures.mean_mass:.3f}",
                f"{figures.least_mass:.3f}",
                f"{figures.ece_before:.3f} → {figures.ece:.3f}",
                f"{figures.brier_before:.3f} → {figures.brier:.3f}",
            )
        both = one.combined
        yield (
            *("", "", "", "both", ""),
            f"{both.auc:.3f}",
            f"{both.tpr_at_1_percent:.3f}",
            *("", "", "", ""),
        )


def limit_rows(document: CalibrationFile) -> Iterator[tuple[str, ...]]:
    """The threshold and the band of each question's first score, and the threshold of both."""
    for name, one in document.questions.items():
        band = one.band
        yield (
            name,
            "first",
            *_threshold(one.threshold),
            f"{band.low:.3f} to {band.high:.3f}",
            f"{band.share_inside:.1%}",
            f"{band.outside_error:.2%}",
        )
        yield ("", "both", *_threshold(one.combined.threshold), "", "", "")


def mode_columns(document: CalibrationFile) -> tuple[str, ...]:
    """The names of `mode_rows`."""
    return (
        *("mode", "released", "reasoned", "tokens", "of always", "requests"),
        *(f"F1 {name}" for name in document.questions),
    )


def mode_rows(document: CalibrationFile) -> Iterator[tuple[str, ...]]:
    """A row for each mode."""
    always = document.modes["always"].tokens
    for mode, figures in document.modes.items():
        yield (
            mode,
            "yes" if figures.released else "no",
            f"{figures.reasoned:.1%}",
            f"{figures.tokens:,.1f}",
            f"{figures.tokens / always:.1%}" if always else "-",
            f"{figures.requests:.2f}",
            *(_f1(figures, name, is_difference=mode != "always") for name in document.questions),
        )


def released(document: CalibrationFile) -> Iterator[str]:
    """Which modes can be used, and why others cannot."""
    modes = [mode for mode in document.modes if mode != "always"]
    good = [mode for mode in modes if document.modes[mode].released]
    yield f"Released for judging.reasoning: {', '.join(['always', *good])}."
    for mode in modes:
        if mode not in good:
            yield f"Not released: {mode}. {document.modes[mode].why}"
    if (gating := document.gating) is not None:
        yield (
            f"judging.gate_prompt_only: {gating.agreement:.2%} of {gating.n:,} events without a"
            f" response get the same label; it is {'on' if gating.is_on else 'off'} by default."
        )


def _f1(figures: ModeFigures, name: str, *, is_difference: bool) -> str:
    task = figures.tasks[name]
    if task.f1 is None:
        return "-"
    return f"{task.f1:.3f} {_signed(task.difference)}" if is_difference else f"{task.f1:.3f}"


def _signed(interval: Interval) -> str:
    if interval.value is None or interval.low is None or interval.high is None:
        return ""
    return f"({interval.value:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}])"


def _threshold(threshold: Threshold) -> tuple[str, str, str]:
    """The threshold, its false-positive rate, and the upper end of that rate's interval."""
    rate = threshold.false_positives / threshold.negatives
    return f"{threshold.value:.3f}", f"{rate:.2%}", f"{threshold.bound:.2%}"
