"""The panes of `guardstream top`."""

from collections.abc import Iterable, Sequence

from rich.console import RenderableType
from rich.text import Text

from worker.cli.views.top.pieces import (
    BAD,
    DRAWN,
    FAINT,
    NAME,
    UNSURE,
    Pane,
    add_row,
    fact,
    lines_of,
    one_line,
    shown,
    table_of,
)
from worker.cli.views.top.quantities import bar, count, duration, rate, share, sparkline, up_to
from worker.cli.views.verdicts import LABEL_STYLES
from worker.domain.questions import heading_of, in_order, standard
from worker.operator.top.loads import Flow, Load
from worker.operator.top.recent import RecentVerdict
from worker.operator.top.view import Mix, View

SPARK_SECONDS = 180.0
_MAX_ROWS = 10
_TRACES_FROM = 130
_NONE_FROM = 48


def keeping_up(load: Load, flows: Sequence[Flow], now: float) -> Pane:
    """Lag, rates and ages; `now` is on the clock of the flows."""

    def body(_: int, width: int) -> RenderableType:
        def spark(values: Iterable[float]) -> str:
            points = list(zip((flow.at for flow in flows), values, strict=True))
            return sparkline(points, now, SPARK_SECONDS, max(0, width - 18))

        age = load.age
        return lines_of(
            fact("lag", f"{count(load.lag_records)}, {duration(load.lag_seconds)} to clear"),
            fact("in", f"{rate(load.received_per_second):<9}", spark(f.received for f in flows)),
            fact("out", f"{rate(load.settled_per_second):<9}", spark(f.settled for f in flows)),
            fact(
                "age",
                f"p50 {up_to(age.p50, age.highest)} p95 {up_to(age.p95, age.highest)}"
                f" p99 {up_to(age.p99, age.highest)}",
            ),
            fact(
                "queued",
                f"{count(load.queued_records)}, the oldest {duration(load.queued_seconds)}",
            ),
        )

    return Pane("Keeping up", 4, 5, body)


def engine(load: Load) -> Pane:
    """The utilisation of the engine."""

    def body(_: int, width: int) -> RenderableType:
        space = max(0, width - 15)
        busy = "".join(bar([load.busy_share or 0.0], space, "█")).ljust(space, "░")
        return lines_of(
            fact("busy", f"{share(load.busy_share):<6}", busy),
            fact(
                "prompts",
                f"{count(load.in_flight)}/{count(load.in_flight_limit)}, backlog"
                f" {duration(load.backlog_gpu_seconds)} GPU",
            ),
            fact(
                "tokens",
                f"{rate(load.input_tokens_per_second)} in,"
                f" {rate(load.output_tokens_per_second)} out",
            ),
            fact("cached", f"{share(load.cached_share)}, restarts {count(load.restarts)}"),
            fact("vLLM", _vllm(load)),
        )

    return Pane("Engine", 5, 5, body)


def _vllm(load: Load) -> str:
    if load.running is None:
        return "no metrics"
    return f"{count(load.running)} run, {count(load.waiting)} wait, KV {share(load.kv_share)}"


def stages(view: View) -> Pane:
    """The time of a record in each stage."""

    def body(_: int, width: int) -> RenderableType:
        table = table_of(("", 8), ("p50", -7), ("p95", -9), ("share", 0))
        for stage in view.stages:
            drawn = "".join(bar([stage.share], max(0, width - 33), "█"))
            add_row(
                table,
                Text(stage.stage, NAME),
                duration(stage.times.p50),
                up_to(stage.times.p95, stage.times.highest),
                Text.assemble(f"{share(stage.share):>5} ", (drawn, DRAWN)),
            )
        return table

    return Pane("Where time goes", 5, 5, body)


def verdicts(view: View) -> Pane:
    """The labels, categories and flags of verdicts."""

    def body(_: int, width: int) -> RenderableType:
        flags = _frequent(view.flags)
        categories = _frequent(view.categories)
        return lines_of(
            *(_mix(mix, width) for mix in view.mixes),
            fact(
                "unclear",
                f"{share(view.inconclusive_share)} inconclusive,"
                f" {share(view.reasoned_share)} reasoned",
            ),
            *([fact("category", categories)] if categories else []),
            fact("flags", flags or "none"),
            *([_decided(view)] if has_policy else []),
        )

    has_policy = bool(view.decisions) or view.policy_broken
    least = 6 if view.categories else 5
    return Pane("Verdicts", least, least + has_policy, body)


def _frequent(counted: Sequence[tuple[str, int]]) -> str:
    """The three that are counted most."""
    return ", ".join(f"{shown(name)} {count(number)}" for name, number in counted[:3])


def _decided(view: View) -> Text:
    """What the policy decides, and whether its file or its shadow says something else."""
    actions = ", ".join(f"{shown(action)} {share(part)}" for action, part in view.decisions[:4])
    line = fact("decided", actions or "nothing yet")
    if view.shadow_differs is not None:
        line.append(f", shadow differs {share(view.shadow_differs)}")
    if view.policy_broken:
        line.append(" policy file broken", BAD)
    return line


def _mix(mix: Mix, width: int) -> Text:
    question = standard(mix.task)
    labels = question.labels if question else sorted(mix.shares.keys() - {"none"})
    parts = [mix.shares.get(label, 0.0) for label in (*labels, "none")]
    # the share without a label: exchanges without a response have none
    with_none = width >= _NONE_FROM
    space = max(4, width - (35 if with_none else 23))
    drawn = bar(parts, space, "█░·")
    line = Text.assemble((f"{heading_of(mix.task):<8} ", NAME))
    for piece, label in zip(drawn, (*labels, ""), strict=True):
        line.append(piece, LABEL_STYLES.get(label, FAINT))
    line.append(" " * (space - sum(map(len, drawn))))
    first = f"{share(parts[0] if mix.shares else None):>6} {labels[0]}" if labels else ""
    none = f", {share(parts[-1])} none" if parts[-1] and with_none else ""
    return one_line(line.append(first + none))


def partitions(view: View) -> Pane:
    """The partitions with the largest lag."""
    rows, load = view.partitions, view.load
    held = count(load.partitions_held if load else None)
    paused = f", {count(load.partitions_paused)} paused" if load and load.partitions_paused else ""

    def body(lines: int, width: int) -> RenderableType:
        with_worker = len(view.workers) > 1 and width > 60
        columns = [("topic", 0), ("part", -4), ("lag", -6), ("unsettled", -9), ("epoch", -5)]
        table = table_of(*([("worker", 22)] if with_worker else []), *columns)
        for row in rows[: lines - 1]:
            add_row(
                table,
                *([shown(row.worker)] if with_worker else []),
                shown(row.topic),
                shown(row.partition),
                count(row.lag_records),
                count(row.unsettled_records),
                count(row.epoch),
            )
        return table

    return Pane(f"Partitions: {held} held{paused}", 3, min(_MAX_ROWS, len(rows)) + 1, body)


def dead_letters(view: View) -> Pane:
    """Dead letters, by stage and error."""
    kinds = view.dead_letters
    total = sum(kind.total for kind in kinds)

    def body(lines: int, _: int) -> RenderableType:
        if not kinds:
            return Text("none since the workers began", FAINT)
        table = table_of(("stage", 7), ("error", 0), ("all", -6), ("new", -6))
        for kind in kinds[: lines - 1]:
            new = Text(f"+{count(kind.lately)}" if kind.lately else "", BAD)
            add_row(table, shown(kind.stage), shown(kind.error), count(kind.total), new)
        return table

    return Pane(f"Dead letters: {count(total)}", 2, min(_MAX_ROWS, len(kinds)) + 1, body)


def last_verdicts(view: View, now: float) -> Pane:
    """The newest verdicts, without text of users or models; `now` is in Unix seconds."""
    recent = view.recent

    def body(lines: int, width: int) -> RenderableType:
        if recent is None:
            why = view.recent_fault or "no worker can be read"
            return one_line(Text(f"cannot be shown: {shown(why)}", FAINT))
        if not recent:
            return Text("none yet", FAINT)
        traced = width >= _TRACES_FROM
        asked = in_order(name for verdict in recent for name in verdict.labels)
        with_harm = any(verdict.categories or verdict.severity for verdict in recent)
        table = table_of(
            *(("ago", -5), ("record", 0)),
            *((heading_of(name), 10) for name in asked),
            *([("category", width // 8)] if with_harm else []),
            *(("took", -5), ("flags", width // 7), *([("trace", 32)] if traced else [])),
        )
        for verdict in recent[: lines - 1]:
            cells = _verdict(verdict, asked, now, with_harm=with_harm)
            add_row(table, *cells, *([_trace(verdict)] if traced else []))
        return table

    return Pane("Last verdicts", 3, 1 + len(recent or ()), body)


def _verdict(
    verdict: RecentVerdict, asked: Sequence[str], now: float, *, with_harm: bool
) -> Iterable[Text]:
    yield Text(duration(max(0.0, now - verdict.judged_at)), FAINT)
    yield Text(f"{shown(verdict.topic)}/{verdict.partition}@{verdict.offset}")
    for name in asked:
        label = verdict.labels.get(name)
        yield Text(shown(label or "-"), LABEL_STYLES.get(label or "", FAINT))
    if with_harm:
        harm = [*verdict.categories, *([verdict.severity] if verdict.severity else [])]
        yield Text(shown(", ".join(harm)), BAD if verdict.categories else FAINT)
    yield Text(duration(max(0.0, verdict.age_seconds)))
    notes = [] if verdict.status == "complete" else [verdict.status]
    yield Text(shown(", ".join((*notes, *verdict.flags))), UNSURE)


def _trace(verdict: RecentVerdict) -> Text:
    return Text(shown(verdict.trace_id or ""), FAINT)
