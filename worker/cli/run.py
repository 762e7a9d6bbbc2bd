"""`guardstream run`: the worker."""

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import Config, app, read_settings, run_async
from worker.cli.times import parse_time_ms

if TYPE_CHECKING:
    from worker.runtime.replay import ReplayPlan
    from worker.runtime.settings import Settings

logger = logging.getLogger(__name__)


@app.command()
def run(
    config: Config = None,
    start_at: Annotated[
        str | None,
        typer.Option(
            help="Replay the records from this time on, as 2026-01-31T12:00:00Z or 2h, in a"
            " separate group; the same time continues a replay that was interrupted."
        ),
    ] = None,
    until_end: Annotated[
        bool,
        typer.Option("--until-end", help="Stop when all records that exist now are judged."),
    ] = False,
    group: Annotated[
        str | None, typer.Option(help="The group of the replay, instead of a name by its time.")
    ] = None,
) -> None:
    """Judge the input topic until stopped (SIGTERM drains, a second signal aborts)."""
    from worker.runtime.worker import Worker, run_until_signalled

    settings = read_settings(config)
    if group is not None and start_at is None:
        raise typer.BadParameter("--group is for a replay: give --start-at too.")
    if settings.engine.kind == "simulated":
        logger.warning(
            "The engine is simulated: its verdicts judge nothing and carry the flag `simulated`."
        )
    if start_at is None and not until_end:
        run_async(run_until_signalled(Worker(settings)))
        return
    start_ms = None if start_at is None else parse_time_ms(start_at, now=datetime.now(UTC))
    run_async(_replay(settings, start_ms, group, until_end=until_end))


async def _replay(
    settings: "Settings", start_ms: int | None, group: str | None, *, until_end: bool
) -> None:
    from worker.runtime.replay import ProgressLog, plan_replay, run_replay
    from worker.runtime.worker import Worker, run_until_signalled

    plan = await plan_replay(settings, start_ms=start_ms, until_end=until_end, group_id=group)
    _announce(plan, start_ms)
    worker = Worker(plan.settings, ends=plan.ends)
    running = run_replay(plan, worker, ProgressLog()) if until_end else None
    await run_until_signalled(worker, running)
    counts = worker.outcomes
    logger.info(
        "Judged %s verdicts, %s dead letters; skipped %s and %s tombstones.",
        *(f"{counts[kind]:,}" for kind in ("verdict", "dead_letter", "skipped", "tombstone")),
    )


def _announce(plan: "ReplayPlan", start_ms: int | None) -> None:
    """Log what will be read, and where outcomes go."""
    from worker.runtime.topics import output_topics

    settings = plan.settings
    what = f"{', '.join(settings.input.topics)} ({len(plan.starts)} partitions)"
    if start_ms is not None:
        start = datetime.fromtimestamp(start_ms / 1000, UTC)
        what += f", from {start.isoformat().replace('+00:00', 'Z')}"
    if plan.ends:
        what += f", {plan.offsets:,} offsets until the end of now"
    logger.info("Reading %s, in the group %s.", what, settings.input.group_id)
    verdicts, *others = output_topics(settings)
    rest = "".join(f", {topic.holds} to {topic.name}" for topic in others)
    logger.info("Verdicts go to %s%s.", verdicts.name, rest)
