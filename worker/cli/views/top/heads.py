"""The head of the console: the workers, their states and their software."""

from rich.console import Group, RenderableType
from rich.text import Text

from worker.cli.views.top.pieces import (
    BAD,
    FAINT,
    GOOD,
    UNSURE,
    Pane,
    add_row,
    one_line,
    shown,
    table_of,
)
from worker.cli.views.top.quantities import count, duration, rate, share, up_to
from worker.operator.top.loads import Load
from worker.operator.top.view import Identity, View, WorkerView

_LATE_LOOP_SECONDS = 1.0
_WIDE = 110


def head(view: View) -> list[Text]:
    """The lines above all panes."""
    first = Text.assemble(("guardstream top  ", "bold"))
    if len(view.workers) == 1:
        worker = view.workers[0]
        # a long name must not push the state off the screen
        first.append(*_state(worker)).append(f"  {shown(worker.name)}")
        if worker.uptime_seconds is not None:
            first.append(f"  up {duration(worker.uptime_seconds)}")
    else:
        ready = sum(worker.ready for worker in view.workers)
        well = ready == len(view.workers)
        first.append(f"{len(view.workers)} workers, ")
        first.append(f"{ready} ready" if well else f"ONLY {ready} READY", GOOD if well else BAD)
    late = view.load.loop_lag_seconds if view.load else None
    if late is not None and late >= _LATE_LOOP_SECONDS:
        first.append(f"  EVENT LOOP {duration(late)} LATE", BAD)
    if view.seconds:
        first.append(f"  rates over {duration(view.seconds)}", FAINT)
    known = [worker.identity for worker in view.workers if worker.identity]
    return [one_line(first), *([one_line(_running(known))] if known else [])]


def workers(view: View) -> Pane:
    """One row per worker: first those with problems, at the end those that cannot be read."""
    ordered = sorted(view.workers, key=lambda worker: worker.ready and not worker.breaker_open)
    readable = [(worker, worker.load) for worker in ordered if worker.load]
    unreadable = [worker for worker in view.workers if not worker.load]

    def body(lines: int, width: int) -> RenderableType:
        wide = width >= _WIDE
        columns = [("worker", 0), ("state", 18), ("lag", -6), ("in", -7), ("out", -7)]
        columns += [("age p95", -7), ("busy", -5)]
        table = table_of(*columns, *([("prompts", -11), ("up", -10)] if wide else []))
        for worker, load in readable[: max(0, lines - 1 - len(unreadable))]:
            add_row(table, *_row(worker, load), *(_more(worker, load) if wide else []))
        faults = (
            f"{shown(one.name)} CANNOT BE READ: {shown(one.fault or '')}" for one in unreadable
        )
        return Group(
            *([table] if readable else []), *(one_line(Text(line, BAD)) for line in faults)
        )

    wanted = len(view.workers) + bool(readable)
    return Pane("Workers", min(4, wanted), wanted, body)


def _running(known: list[Identity]) -> Text:
    """Model, guard, engine and version; all values where workers differ."""
    parts = (
        " / ".join(dict.fromkeys(values))
        for values in (
            [one.model for one in known],
            [one.guard for one in known],
            [one.engine for one in known],
            [one.guarantee for one in known],
            [f"group {one.group}" for one in known],
            [f"version {one.version}" for one in known],
        )
    )
    return Text("  ".join(shown(one) for one in parts), FAINT)


def _row(worker: WorkerView, load: Load) -> list[Text | str]:
    return [
        shown(worker.name),
        Text(*_state(worker)),
        count(load.lag_records),
        rate(load.received_per_second),
        rate(load.settled_per_second),
        up_to(load.age.p95, load.age.highest),
        share(load.busy_share),
    ]


def _more(worker: WorkerView, load: Load) -> list[Text | str]:
    prompts = f"{count(load.in_flight)}/{count(load.in_flight_limit)}"
    return [prompts, duration(worker.uptime_seconds)]


def _state(worker: WorkerView) -> tuple[str, str]:
    """The state in words, and its colour."""
    if worker.load is None:
        return f"CANNOT BE READ: {shown(worker.fault or '')}", BAD
    state = shown(worker.state) or "state unknown"
    if worker.breaker_open:
        return f"BREAKER OPEN, {'ready' if worker.ready else 'NOT READY'}", BAD
    if not worker.ready:
        return f"{state}, NOT READY", BAD if worker.state == "running" else UNSURE
    return f"{state}, ready", GOOD
