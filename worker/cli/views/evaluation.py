"""An evaluation as tables at a terminal."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from worker.domain.escaping import printable
from worker.evaluation.intervals import Estimate
from worker.evaluation.results import Comparison, Evaluation, Slice, TaskFigures

WIDTH_OF_FILES = 160
_SHOWN_DISAGREEMENTS = 10
_SHOWN_VALUES = 20


def show_evaluation(evaluation: Evaluation) -> None:
    """Print tables of figures, confusion, slices and the comparison."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH_OF_FILES)
    for part in _parts(evaluation):
        console.print(part)


def _parts(evaluation: Evaluation) -> Iterator[RenderableType]:
    yield Text(_heading(evaluation), "bold")
    if evaluation.provenance.engine and evaluation.provenance.engine.name == "simulated":
        yield Text("The simulated engine judges nothing: its figures mean nothing.", "yellow")
    yield ""
    yield _figures(evaluation)
    yield ""
    yield _confusions(evaluation)
    if any(one.scores for one in evaluation.tasks.values()):
        yield ""
        yield _scores(evaluation)
    if evaluation.costs:
        yield ""
        yield _costs(evaluation)
    if evaluation.categories:
        yield ""
        yield _categories(evaluation)
    for _, group in groupby(evaluation.slices, key=lambda one: one.field):
        yield ""
        yield from _slices(list(group))
    if evaluation.comparison is not None:
        yield ""
        yield from _comparison(evaluation.comparison)
    if evaluation.flags:
        yield ""
        yield "Flags: " + ", ".join(f"{name} {n}" for name, n in evaluation.flags.items())


def _heading(evaluation: Evaluation) -> str:
    provenance, counts = evaluation.provenance, evaluation.statuses
    by = provenance.guard.model if provenance.guard else provenance.answers or "a guard"
    heading = f"{printable(by)} on {printable(provenance.file)}: {len(evaluation.rows)} rows"
    return heading + "".join(
        f", {counts[status]} {status}" for status in ("inconclusive", "unjudged") if counts[status]
    )


def _figures(evaluation: Evaluation) -> Table:
    share = f"{evaluation.confidence:.0%}"
    return table(
        ("task", f"F1 [{share}]", "prec.", "recall", "macro", "support", "unread"),
        ((task, *_row(one)) for task, one in evaluation.tasks.items()),
    )


def _row(figures: TaskFigures) -> tuple[str, ...]:
    return (
        _f1(figures),
        _number(figures.precision.value),
        _number(figures.recall.value),
        _number(figures.macro_f1.value),
        f"{figures.support}/{figures.labelled}",
        str(figures.unreadable),
    )


def _slices(slices: Sequence[Slice]) -> Iterator[RenderableType]:
    yield table(
        (printable(slices[0].field), "rows", *slices[0].tasks),
        (
            (printable(one.value), str(one.rows), *map(_f1, one.tasks.values()))
            for one in slices[:_SHOWN_VALUES]
        ),
    )
    if (more := len(slices) - _SHOWN_VALUES) > 0:
        yield f"{more} more values are in --json and --html."


def _confusions(evaluation: Evaluation) -> Table:
    rows = []
    for task, figures in evaluation.tasks.items():
        for label, row in figures.confusion.items():
            counts = ", ".join(f"{count} {name}" for name, count in row.items())
            rows.append((task, label, counts))
    return table(("task", "label", "predicted"), rows)


def _scores(evaluation: Evaluation) -> Table:
    found = [(task, one.scores) for task, one in evaluation.tasks.items() if one.scores]
    return table(
        ("task", "scores", "AUC", "TPR@1%", "TPR@0.1%", "ECE", "Brier"),
        (
            (
                task,
                str(one.n),
                _number(one.auc),
                _number(one.tpr_at_1_percent),
                _number(one.tpr_at_01_percent),
                _number(one.ece),
                _number(one.brier),
            )
            for task, one in found
        ),
    )


def _costs(evaluation: Evaluation) -> Table:
    return table(
        ("verdicts", "n", "tokens", "requests"),
        (
            (name, str(one.verdicts), f"{one.tokens:.1f}", f"{one.requests:.2f}")
            for name, one in evaluation.costs.items()
        ),
    )


def _categories(evaluation: Evaluation) -> Table:
    share = f"{evaluation.confidence:.0%}"
    return table(
        ("category", f"F1 [{share}]", "prec.", "recall", "labelled", "found"),
        (
            (
                printable(code),
                _estimate(one.f1),
                _number(one.precision.value),
                _number(one.recall.value),
                str(one.support),
                str(one.predicted),
            )
            for code, one in evaluation.categories.items()
        ),
    )


def _comparison(comparison: Comparison) -> Iterator[RenderableType]:
    yield Text(f"Compared with {printable(comparison.other)} on {comparison.rows} rows", "bold")
    for count, what in (
        (comparison.only_here, "only in this run"),
        (comparison.only_there, "only in the other"),
        (comparison.changed, "with another text there"),
    ):
        if count:
            yield f"Rows {what}, not compared: {count}."
    yield table(
        ("task", "F1", "other", "difference", "only this right", "only other", "McNemar's p"),
        (
            (
                task,
                _number(one.f1),
                _number(one.other_f1),
                _estimate(one.difference, signed=True),
                str(one.only_ours),
                str(one.only_theirs),
                f"{one.p:.3g}",
            )
            for task, one in comparison.tasks.items()
        ),
    )
    scored = [(task, one.scores) for task, one in comparison.tasks.items() if one.scores]
    if scored:
        yield ""
        yield table(
            ("task", "scores", "AUC", "other", "difference", "TPR@1%", "TPR@0.1%"),
            (
                (
                    task,
                    str(one.rows),
                    _number(one.auc),
                    _number(one.other_auc),
                    _estimate(one.auc_difference, signed=True),
                    _estimate(one.tpr_at_1_percent_difference, signed=True),
                    _estimate(one.tpr_at_01_percent_difference, signed=True),
                )
                for task, one in scored
            ),
        )
    if not comparison.disagreements:
        yield "The two agree on every row."
        return
    yield ""
    shown = comparison.disagreements[:_SHOWN_DISAGREEMENTS]
    yield table(
        ("id", "task", "label", "this", "other"),
        (
            (
                printable(one.id),
                one.task,
                *(label or "-" for label in (one.label, one.ours, one.theirs)),
            )
            for one in shown
        ),
    )
    if more := len(comparison.disagreements) - len(shown):
        yield f"{more} more disagreements are in --json and --html."


def table(names: Iterable[str], rows: Iterable[tuple[str, ...]]) -> Table:
    """A table of text."""
    found = Table(*names, box=None, pad_edge=False)
    for row in rows:
        # ids and values of fields are untrusted: text, never markup
        found.add_row(*(Text(cell, overflow="fold") for cell in row))
    return found


def _f1(figures: TaskFigures) -> str:
    if figures.labelled and not figures.support:
        return f"no {figures.positive}"
    return _estimate(figures.f1)


def _estimate(estimate: Estimate, *, signed: bool = False) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "-"
    sign = "+" if signed else ""
    return f"{estimate.value:{sign}.3f} [{estimate.low:{sign}.3f}, {estimate.high:{sign}.3f}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
