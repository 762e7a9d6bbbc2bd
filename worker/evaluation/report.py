"""The results as one page of HTML that needs no other file.

It runs no script and loads nothing. What people and models wrote is text in it, escaped by the
templates and cut to a length.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from worker.domain.escaping import printable
from worker.evaluation.intervals import Estimate
from worker.evaluation.labelled import LabelledEvent
from worker.evaluation.plots import Dot, DotPlot, confusion_plot, dot_plot
from worker.evaluation.report_scores import (
    interval,
    number,
    score_difference_parts,
    score_parts,
)
from worker.evaluation.results import Comparison, Evaluation, Slice, TaskFigures

_SHOWN_ROWS = 200
_SHOWN_CHARACTERS = 280


def _finalize(value: Any) -> Any:
    """Escape what could steer the display or hide text; the autoescape then escapes markup."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


ENVIRONMENT = Environment(
    loader=PackageLoader("worker.evaluation"),
    autoescape=True,
    finalize=_finalize,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.filters["number"] = "{:,}".format


@dataclass(frozen=True, slots=True)
class _Listed:
    """The first rows of a list, and how many more there are."""

    total: int
    shown: list[list[str]]

    @property
    def more(self) -> int:
        return self.total - len(self.shown)


@dataclass(frozen=True, slots=True)
class _SliceSection:
    """The figures by the values of one field."""

    field: str
    plots: list[tuple[str, DotPlot]]
    names: list[str]
    rows: list[list[str]]


def render_report(evaluation: Evaluation, events: Sequence[LabelledEvent]) -> str:
    """The page; the events give the texts of the rows it lists."""
    texts = {event.id: event for event in events}
    share = f"{evaluation.confidence:.0%}"
    comparison = evaluation.comparison
    return ENVIRONMENT.get_template("report.html.j2").render(
        evaluation=evaluation,
        name=_name(evaluation),
        overview=dot_plot(
            [_dot(*item) for item in evaluation.tasks.items()], f"F1 with {share} interval"
        ),
        figure_names=[
            *("task", f"F1 [{share}]", "precision", "recall", "macro F1", "lenient F1"),
            *("rows", "positive", "unreadable"),
        ],
        figures=[[task, *_cells(one)] for task, one in evaluation.tasks.items()],
        matrices=[
            (one.asks, confusion_plot(one.confusion, task))
            for task, one in evaluation.tasks.items()
        ],
        category_names=[
            *("category", f"F1 [{share}]", "precision", "recall", "labelled", "found", "both"),
        ],
        categories=[
            [
                code,
                *map(interval, (one.f1, one.precision, one.recall)),
                *(f"{n:,}" for n in (one.support, one.predicted, one.hits)),
            ]
            for code, one in evaluation.categories.items()
        ],
        slices=[
            _slice_section(field, list(group))
            for field, group in groupby(evaluation.slices, key=lambda one: one.field)
        ],
        **score_parts(evaluation),
        **(_comparison(comparison, texts) if comparison else {}),
        mistakes=_mistakes(evaluation, texts),
        not_scored=list(_not_scored(evaluation)),
        sources=_sources(evaluation),
    )


def _name(evaluation: Evaluation) -> str:
    provenance = evaluation.provenance
    return provenance.guard.model if provenance.guard else provenance.answers or "A guard"


def _cells(figures: TaskFigures) -> list[str]:
    return [
        interval(figures.f1),
        interval(figures.precision),
        interval(figures.recall),
        number(figures.macro_f1.value),
        number(figures.lenient["f1"]),
        f"{figures.labelled:,}",
        f"{figures.support:,}",
        f"{figures.unreadable:,}",
    ]


def _dot(label: str, figures: TaskFigures) -> Dot:
    if not figures.support:
        nothing = f"no {figures.positive}" if figures.labelled else "no labels"
        return Dot(label, Estimate(None, None, None), nothing)
    return Dot(label, figures.f1, interval(figures.f1))


def _slice_section(field: str, slices: Sequence[Slice]) -> _SliceSection:
    tasks = list(slices[0].tasks)
    labelled = {task: [one for one in slices if one.tasks[task].labelled] for task in tasks}
    return _SliceSection(
        field,
        [
            (task, dot_plot([_dot(one.value, one.tasks[task]) for one in found], f"F1 of {task}"))
            for task, found in labelled.items()
            if found
        ],
        [field, "rows", *(f"F1 {task}" for task in tasks)],
        [[one.value, f"{one.rows:,}", *map(_f1, one.tasks.values())] for one in slices],
    )


def _f1(figures: TaskFigures) -> str:
    return f"{_dot('', figures).note} ({figures.support:,} of {figures.labelled:,})"


def _comparison(comparison: Comparison, texts: dict[str, LabelledEvent]) -> dict[str, Any]:
    tasks = comparison.tasks.items()
    return {
        "differences": dot_plot(
            [
                Dot(task, one.difference, interval(one.difference, signed=True))
                for task, one in tasks
            ],
            "Difference of F1",
            signed=True,
        ),
        "difference_names": [
            *("task", "F1, this run", "F1, the other", "difference", "both right"),
            *("only this right", "only the other", "neither", "McNemar's p"),
        ],
        "difference_rows": [
            [
                task,
                number(one.f1),
                number(one.other_f1),
                interval(one.difference, signed=True),
                *(f"{n:,}" for n in (one.both_right, one.only_ours, one.only_theirs, one.neither)),
                f"{one.p:.3g}",
            ]
            for task, one in tasks
        ],
        **score_difference_parts(comparison),
        "disagreements": _listed(
            [
                (one.id, [one.task, *map(_label, (one.label, one.ours, one.theirs))])
                for one in comparison.disagreements
            ],
            texts,
        ),
    }


def _mistakes(evaluation: Evaluation, texts: dict[str, LabelledEvent]) -> _Listed:
    found: list[tuple[str, list[str]]] = [
        (
            row.id,
            [task, _label(row.labels[task]), _label(row.predicted[task]), ", ".join(row.flags)],
        )
        for row in evaluation.rows
        for task in row.labels
        if row.labels[task] is not None and row.labels[task] != row.predicted[task]
    ]
    return _listed(found, texts)


def _listed(rows: Sequence[tuple[str, list[str]]], texts: dict[str, LabelledEvent]) -> _Listed:
    shown = [[name, *cells, *_texts(texts[name])] for name, cells in rows[:_SHOWN_ROWS]]
    return _Listed(len(rows), shown)


def _texts(event: LabelledEvent) -> tuple[str, str]:
    return _shortened(event.exchange.prompt), _shortened(event.exchange.response or "-")


def _shortened(text: str) -> str:
    line = " ".join(text[: 4 * _SHOWN_CHARACTERS].split())
    return f"{line[:_SHOWN_CHARACTERS]}…" if len(line) > _SHOWN_CHARACTERS else line


def _not_scored(evaluation: Evaluation) -> Iterator[tuple[str, int, list[list[str]]]]:
    unjudged = [row for row in evaluation.rows if row.status == "unjudged"]
    for title, rows in (
        ("Not judged", [[row.place, row.id, row.reason or ""] for row in unjudged]),
        ("Left out", [[one.place, "", one.reason] for one in evaluation.left_out]),
    ):
        yield title, len(rows), rows[:_SHOWN_ROWS]


def _sources(evaluation: Evaluation) -> list[tuple[str, str]]:
    provenance = evaluation.provenance
    guard, engine = provenance.guard, provenance.engine
    return [
        ("events", provenance.file),
        ("sha256 of the events", provenance.file_sha256),
        ("answers", provenance.answers or "by the engine"),
        ("guard", guard.name if guard else "not known"),
        ("model", guard.model if guard else "not known"),
        ("revision", (guard.revision if guard else None) or "-"),
        ("prompt sha256", guard.prompt_sha256 if guard else "not known"),
        ("engine", f"{engine.name} {engine.version}" if engine else "not known"),
        ("bootstrap", f"{evaluation.resamples:,} resamples, seed {evaluation.seed}"),
        ("made at", provenance.made_at),
        ("guardstream", provenance.guardstream),
    ]


def _label(label: str | None) -> str:
    return label or "-"
