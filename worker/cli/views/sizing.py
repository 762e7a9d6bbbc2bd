"""A sizing plan and its assumptions, for a terminal."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from worker.cli.views.top.quantities import count, duration, rate, share
from worker.operator.sizing.measured import Figures
from worker.operator.sizing.plan import Load, Plan, Terms, Tokens


class _Row(NamedTuple):
    what: str
    figure: str
    why: str = ""


def of_tokens(tokens: Tokens) -> str:
    """The assumption behind a cost that is calculated from tokens."""
    own = tokens.prompt - tokens.shared
    written = f"{tokens.completion:.0f}"
    if tokens.score:
        written = f"{tokens.score:.0f}, and {written} more for {tokens.reasoned:.0%} of them"
    return (
        f"A record costs the time to read {own:.0f} tokens and the time to write {written};"
        f" {tokens.shared:.0f} shared tokens stay in the prefix cache."
    )


def of_engine(measured: Figures) -> str:
    """The assumption behind a cost that is measured as engine time."""
    had = f"The engine had {measured.prompts_at_once:.0f} prompts of at most {measured.places:.0f}"
    if measured.is_full:
        return f"{had}: it was full, so its time shows what a record costs."
    return (
        f"{had}: it was not full, and a full one judges more in the same time. A record costs less"
        " than this says; measure while the worker has lag."
    )


def of_terms(terms: Terms) -> list[str]:
    """The assumptions of every plan."""
    return [
        "Events are spread evenly over partitions, and partitions over replicas.",
        "A record costs the same at the peak as on average.",
        f"A new replica starts judging after {duration(terms.start_seconds)}; a GPU is free.",
        "The rest of the worker (receive, render, publish) keeps up with its engine.",
    ]


def show(
    load: Load, terms: Terms, plan: Plan, measured: Figures | None, assumed: Sequence[str]
) -> None:
    """Print the plan and its assumptions."""
    console = Console()
    table = Table(box=None, show_header=False, pad_edge=False)
    for row in _rows(load, terms, plan, measured):
        table.add_row(row.what, f"[bold]{row.figure}[/]", f"[dim]{row.why}[/]")
    console.print(table)
    if plan.more_partitions_needed:
        console.print(
            f"\n[red]More partitions are needed: {terms.partitions} let {plan.replicas_usable} of"
            f" {plan.replicas_peak} replicas work.[/]"
        )
    console.print("\nAssumed:")
    for sentence in assumed:
        console.print(f"- {sentence}", highlight=False, soft_wrap=True)


def _rows(load: Load, terms: Terms, plan: Plan, measured: Figures | None) -> Iterable[_Row]:
    if measured:
        tokens = measured.tokens
        yield _Row(
            "measured",
            rate(measured.events_per_second),
            f"over {duration(measured.seconds)}; {tokens.prompt:.0f} prompt tokens"
            f" ({tokens.shared:.0f} cached), {tokens.completion:.0f} of completion",
        )
    yield _Row("events", rate(load.average), f"at the peak {rate(load.peak)}")
    yield _Row(
        "a record costs",
        f"{plan.gpu_seconds_per_record:.4g} GPU-s",
        f"a replica takes {rate(plan.events_per_second_of_replica)}",
    )
    yield _Row(
        "GPUs at work",
        f"{plan.gpus_busy_average:.2f}",
        f"at the peak {plan.gpus_busy_peak:.2f}",
    )
    yield _Row(
        "replicas",
        count(plan.replicas_usable),
        f"of {plan.replicas_peak} for the peak with {share(terms.headroom)} free;"
        f" {plan.replicas_average} for the mean",
    )
    yield _Row("GPUs", count(plan.gpus), f"{terms.gpus_per_replica} a replica")
    yield _Row(
        "partitions, at least",
        count(plan.partitions_least),
        "some more, to grow; multiples of the replicas spread evenly",
    )
    yield _Row(
        "utilisation",
        share(plan.utilisation_average),
        f"at the peak {share(plan.utilisation_peak)}, of the busiest"
        f" {share(plan.utilisation_busiest)}",
    )
    yield _Row(
        "caught up after",
        _time(plan.catch_up_seconds),
        f"with an outage of {duration(terms.outage_seconds)}"
        f" ({count(plan.outage_records)} records)",
    )
    yield from _of_scaling(terms, plan)
    yield _Row(
        "queues of a replica",
        f"{plan.queue_bytes_per_replica / (1 << 20):.0f} MiB",
        "of values, at most",
    )
    if plan.price_per_million_scaled is not None and plan.price_per_million_fixed is not None:
        yield _Row(
            "a million events",
            f"{plan.price_per_million_scaled:,.2f}",
            f"scaled with the load; {plan.price_per_million_fixed:,.2f} with {plan.replicas_usable}"
            " replicas all the time",
        )


def _of_scaling(terms: Terms, plan: Plan) -> Iterable[_Row]:
    yield _Row(
        "replicas when scaled",
        f"{plan.replicas_least} to {plan.replicas_usable}",
        f"fewer do not keep {duration(terms.target_age_seconds)} at a jump to the peak",
    )
    yield _Row(
        "after such a jump",
        _time(plan.jump_age_seconds),
        "waits the oldest event, from the replicas for the mean",
    )
    yield _Row(
        "scale at a backlog of",
        f"{plan.backlog_per_replica_gpu_seconds:,.0f} GPU-s",
        f"a replica; {count(plan.lag_per_replica_records)} records of this cost",
    )


def _time(seconds: float) -> str:
    return "no end" if math.isinf(seconds) else duration(seconds)
