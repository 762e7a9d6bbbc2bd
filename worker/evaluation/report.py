"""The results as one page of HTML that needs nothing beside it.

It runs no script and loads nothing; what people and models wrote is text in it, and shortened.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

from worker.domain.verdicts import Label, Task
from worker.evaluation.labelled import LabelledEvent
from worker.evaluation.markup import Markup, Text, table, tag
from worker.evaluation.plots import Dot, confusion, dots
from worker.evaluation.resampling import Estimate
from worker.evaluation.results import Comparison, Evaluation, Slice, TaskFigures

_SHOWN_ROWS = 200
_SHOWN_CHARACTERS = 280
_TITLES = {
    Task.PROMPT_HARMFULNESS: "Is the request harmful?",
    Task.RESPONSE_REFUSAL: "Is the response a refusal?",
    Task.RESPONSE_HARMFULNESS: "Is the response harmful?",
}
_CONVENTION = (
    "Positive are harmful, refusal and harmful. A label that could not be read, or was not given at"
    " all, counts as the wrong one, once; the lenient F1 leaves such rows out. Macro F1 is the mean"
    " over both labels of a task."
)
_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2328; background: #fff; margin: 2rem auto;
  max-width: 1060px; padding: 0 1.25rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; padding-bottom: .3rem;
  border-bottom: 1px solid #d1d9e0; }
h3 { font-size: 1rem; margin: 1.25rem 0 .25rem; }
p { margin: .4rem 0; } .quiet { color: #59636e; } .wide { overflow-x: auto; }
.warning { background: #fff8c5; border: 1px solid #d4a72c; border-radius: 6px;
  padding: .5rem .8rem; }
table { border-collapse: collapse; margin: .6rem 0; font-size: 14px; }
th, td { text-align: left; padding: .3rem .55rem; border-bottom: 1px solid #eaeef2;
  vertical-align: top; }
th { color: #59636e; font-weight: 600; }
td.figure { font-variant-numeric: tabular-nums; white-space: nowrap; }
table.rows { width: 100%; font-size: 13px; } table.rows td { overflow-wrap: break-word; }
table.rows td:nth-last-child(-n+2) { width: 30%; min-width: 14rem; overflow-wrap: anywhere; }
.side { display: flex; flex-wrap: wrap; gap: 1rem 2rem; }
svg { max-width: 100%; height: auto; font-family: system-ui, sans-serif; display: block; }
"""


def render_report(evaluation: Evaluation, events: Sequence[LabelledEvent]) -> str:
    """The page; the events give the texts of the rows it lists."""
    texts = {event.id: event for event in events}
    parts = [
        *_head(evaluation),
        *_figures(evaluation),
        *_slices(evaluation),
        *(_comparison(evaluation.comparison, texts) if evaluation.comparison else ()),
        *_mistakes(evaluation, texts),
        *_not_scored(evaluation),
        *_provenance(evaluation),
    ]
    head = tag(
        "head",
        Markup('<meta charset="utf-8">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup(
            '<meta http-equiv="Content-Security-Policy"'
            " content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        ),
        tag("title", f"{_name(evaluation)} on {evaluation.provenance.file}"),
        tag("style", Markup(_STYLE)),
    )
    page = tag("html", head, tag("body", tag("main", parts)), lang="en")
    return f"<!doctype html>\n{page}\n"


def _head(evaluation: Evaluation) -> Iterator[Markup]:
    provenance, counts = evaluation.provenance, evaluation.statuses
    yield tag("h1", f"{_name(evaluation)} on {provenance.file}")
    said = f"{len(evaluation.rows):,} rows scored"
    for count, what in (
        (counts["inconclusive"], "inconclusive"),
        (counts["unjudged"], "not judged"),
        (len(evaluation.left_out), "left out"),
    ):
        said += f", {count:,} {what}" if count else ""
    yield tag("p", f"{said}. {provenance.made_at}", class_="quiet")
    if provenance.engine and provenance.engine.name == "simulated":
        sentence = "The simulated engine judges nothing: these figures mean nothing."
        yield tag("p", sentence, class_="warning")


def _name(evaluation: Evaluation) -> str:
    provenance = evaluation.provenance
    return provenance.guard.model if provenance.guard else provenance.answers or "A guard"


def _figures(evaluation: Evaluation) -> Iterator[Markup]:
    share = f"{evaluation.confidence:.0%}"
    yield tag("h2", "How right it is")
    yield dots([_dot(task, evaluation.tasks[task]) for task in Task], f"F1 with {share} interval")
    names = ["task", f"F1 [{share}]", "precision", "recall", "macro F1", "lenient F1"]
    yield table(
        [*names, "rows", "positive", "unreadable"],
        [[task, *_cells(evaluation.tasks[task])] for task in Task],
    )
    yield tag("p", _CONVENTION, class_="quiet")
    yield tag(
        "div",
        [
            tag("div", tag("h3", _TITLES[task]), confusion(evaluation.tasks[task].confusion, task))
            for task in Task
        ],
        class_="side",
    )
    if evaluation.flags:
        flags = ", ".join(f"{name} {count:,}" for name, count in evaluation.flags.items())
        yield tag("p", f"Flags: {flags}.")


def _cells(figures: TaskFigures) -> list[object]:
    return [
        _interval(figures.f1),
        _interval(figures.precision),
        _interval(figures.recall),
        _number(figures.macro_f1.value),
        _number(figures.lenient["f1"]),
        f"{figures.labelled:,}",
        f"{figures.support:,}",
        f"{figures.unreadable:,}",
    ]


def _dot(label: str, figures: TaskFigures) -> Dot:
    if not figures.support:
        nothing = f"no {figures.positive}" if figures.labelled else "no labels"
        return Dot(label, Estimate(None, None, None), nothing)
    return Dot(label, figures.f1, _interval(figures.f1))


def _slices(evaluation: Evaluation) -> Iterator[Markup]:
    for field, group in groupby(evaluation.slices, key=lambda one: one.field):
        yield from _slice(field, list(group))


def _slice(field: str, slices: Sequence[Slice]) -> Iterator[Markup]:
    yield tag("h2", f"By {field}")
    for task in Task:
        labelled = [one for one in slices if one.tasks[task].labelled]
        if labelled:
            yield tag("h3", task)
            yield dots([_dot(one.value, one.tasks[task]) for one in labelled], f"F1 of {task}")
    yield table(
        [field, "rows", *(f"F1 {task}" for task in Task)],
        [
            [Text(one.value), f"{one.rows:,}", *(_f1_of(one.tasks[task]) for task in Task)]
            for one in slices
        ],
    )


def _f1_of(figures: TaskFigures) -> str:
    return f"{_dot('', figures).note} ({figures.support:,} of {figures.labelled:,})"


def _comparison(comparison: Comparison, texts: dict[str, LabelledEvent]) -> Iterator[Markup]:
    yield tag("h2", f"Compared with {comparison.other}")
    said = f"On {comparison.rows:,} rows that both know."
    for count, what in (
        (comparison.only_here, "only here"),
        (comparison.only_there, "only there"),
        (comparison.changed, "with another text there"),
    ):
        said += f" Not compared, {what}: {count:,}." if count else ""
    if (guard := comparison.other_guard) is not None:
        said += f" The other: {guard.name}, {guard.model}, revision {guard.revision or '-'}."
    yield tag("p", said)
    yield tag("p", "F1 here less F1 there: to the right of zero, this one is better.")
    rows = [
        Dot(task, one.difference, _interval(one.difference, signed=True))
        for task, one in comparison.tasks.items()
    ]
    yield dots(rows, "Difference of F1", signed=True)
    yield table(
        [
            *("task", "F1 here", "F1 there", "difference", "both right", "only this right"),
            *("only the other", "neither", "McNemar's p"),
        ],
        [
            [
                task,
                _number(one.f1),
                _number(one.other_f1),
                _interval(one.difference, signed=True),
                *(f"{n:,}" for n in (one.both_right, one.only_ours, one.only_theirs, one.neither)),
                f"{one.p:.3g}",
            ]
            for task, one in comparison.tasks.items()
        ],
    )
    found = comparison.disagreements
    yield tag("h3", f"Where the two disagree: {len(found):,}")
    yield from _listing(
        ["task", "label", "here", "there"],
        [(one.id, [one.task, *map(_said, (one.label, one.ours, one.theirs))]) for one in found],
        texts,
    )


def _mistakes(evaluation: Evaluation, texts: dict[str, LabelledEvent]) -> Iterator[Markup]:
    found: list[tuple[str, list[object]]] = [
        (row.id, [task, _said(row.labels[task]), _said(row.said[task]), ", ".join(row.flags)])
        for row in evaluation.rows
        for task in Task
        if row.labels[task] is not None and row.labels[task] != row.said[task]
    ]
    yield tag("h2", f"Where guard and labels disagree: {len(found):,}")
    yield from _listing(["task", "label", "said", "flags"], found, texts)


def _listing(
    names: list[str],
    rows: Sequence[tuple[str, list[object]]],
    texts: dict[str, LabelledEvent],
) -> Iterator[Markup]:
    if not rows:
        yield tag("p", "Nowhere.")
        return
    shown = rows[:_SHOWN_ROWS]
    yield table(
        ["id", *names, "request", "response"],
        [[Text(name), *cells, *_texts(texts[name])] for name, cells in shown],
        class_="rows",
    )
    if len(rows) > len(shown):
        yield tag("p", f"{len(rows) - len(shown):,} more are in the JSON results.", class_="quiet")


def _texts(event: LabelledEvent) -> tuple[Text, Text]:
    return _shortened(event.exchange.prompt), _shortened(event.exchange.response or "-")


def _shortened(text: str) -> Text:
    line = " ".join(text[: 4 * _SHOWN_CHARACTERS].split())
    return Text(f"{line[:_SHOWN_CHARACTERS]}…" if len(line) > _SHOWN_CHARACTERS else line)


def _not_scored(evaluation: Evaluation) -> Iterator[Markup]:
    unjudged = [row for row in evaluation.rows if row.status == "unjudged"]
    for title, rows in (
        ("Not judged", [[row.place, Text(row.id), row.reason or ""] for row in unjudged]),
        ("Left out", [[one.place, Text(""), one.reason] for one in evaluation.left_out]),
    ):
        if rows:
            yield tag("h2", f"{title}: {len(rows):,}")
            yield table(["where", "id", "why"], [list(row) for row in rows[:_SHOWN_ROWS]])


def _provenance(evaluation: Evaluation) -> Iterator[Markup]:
    provenance = evaluation.provenance
    guard, engine = provenance.guard, provenance.engine
    yield tag("h2", "Where it comes from")
    rows = {
        "events": provenance.file,
        "their sha256": provenance.file_sha256,
        "answers": provenance.answers or "asked of the engine",
        "guard": guard.name if guard else "not known",
        "model": guard.model if guard else "not known",
        "revision": (guard.revision if guard else None) or "-",
        "prompt sha256": guard.prompt_sha256 if guard else "not known",
        "engine": f"{engine.name} {engine.version}" if engine else "not known",
        "bootstrap": f"{evaluation.resamples:,} resamples, seed {evaluation.seed}",
        "made at": provenance.made_at,
        "guardstream": provenance.guardstream,
    }
    yield table(["", ""], [[Text(name), Text(value)] for name, value in rows.items()])


def _said(label: Label | None) -> str:
    return label or "-"


def _interval(estimate: Estimate, *, signed: bool = False) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "-"
    sign = "+" if signed else ""
    return f"{estimate.value:{sign}.3f} [{estimate.low:{sign}.3f}, {estimate.high:{sign}.3f}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
