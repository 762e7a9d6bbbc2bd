"""Compares ways of scaling over a scripted day, and draws them."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.scaling.autoscaler import UP, Policy, Rules, Target, kafka_lag
from benchmarks.scaling.engine import Engine
from benchmarks.scaling.fleet import Habits
from benchmarks.scaling.picture import draw
from benchmarks.scaling.simulation import Measures, Scaling, WorkerStatus, World, simulate
from worker.operator.sizing.plan import Load, Queues, Terms, plan

_TARGET_SECONDS = 60.0
_HEADROOM = 0.3
_LEAST = 2
# a rebalance fills the engines for a moment, and is no reason to grow
_CALM_UP = Rules(60.0, UP.policies)
# one replica a scale-down, with time for its drain and the rebalance after it
_SLOW_DOWN = Rules(600.0, (Policy("Pods", 1, 120.0),))


def main(
    seed: Annotated[int, typer.Option(help="Of the noise and of the partitions.")] = 7,
    start_up: Annotated[
        float, typer.Option(help="Seconds until a new replica judges.")
    ] = Habits.start_seconds,
    idle_share: Annotated[
        float, typer.Option(help="Of an engine's step: what it takes without prompts.")
    ] = Engine.idle_share,
    picture: Annotated[Path | None, typer.Option(help="A PNG.")] = None,
    output: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Simulate a day under each way of scaling; the same seed gives the same day."""
    habits, engine = Habits(start_seconds=start_up), Engine(idle_share=idle_share)
    world = World(seed=seed, habits=habits, engine=engine)
    days = [simulate(world, scaling) for scaling in ways(world)]
    typer.echo(
        f"{'':<28}{'GPU-hours':>10}{'age p50':>9}{'age p99':>9}{'> 60 s':>9}{'most lag':>10}"
        f"{'changes':>9}"
    )
    for day in days:
        typer.echo(
            f"{day.name:<28}{day.gpu_hours:>10.1f}{day.age(0.5):>8.1f}s{day.age(0.99):>8.1f}s"
            f"{100 * day.late_share(_TARGET_SECONDS):>7.2f} %"
            f"{max(moment.lag for moment in day.moments):>10,.0f}{day.changes:>9}"
        )
    if output:
        found = {
            "world": asdict(world),
            "days": [
                {
                    "name": day.name,
                    "gpu_hours": day.gpu_hours,
                    "age_p50_seconds": day.age(0.5),
                    "age_p99_seconds": day.age(0.99),
                    "late_share": day.late_share(_TARGET_SECONDS),
                    "records_in": day.came,
                    "records_out": day.went,
                    "records_left": day.left,
                    "rebalances": day.rebalances,
                    "changes": day.changes,
                    "moments": [asdict(moment) for moment in day.moments],
                }
                for day in days
            ],
        }
        output.write_text(json.dumps(found, indent=2) + "\n")
    if picture:
        draw(world, days, picture)


def ways(world: World) -> list[Scaling]:
    """What is compared, all for the same target and the same peak."""
    script = world.script
    # the threshold in records is right for the afternoon, when most events come
    afternoon = script.cost(14 * 3600.0)
    load = Load(script.rate(8 * 3600.0), script.peak_gpus / afternoon, afternoon)
    terms = Terms(
        headroom=_HEADROOM,
        target_age_seconds=_TARGET_SECONDS,
        start_seconds=world.habits.start_seconds,
        partitions=world.partitions,
    )
    sized = plan(load, terms, Queues(1.0, 1, 1, 1, 1))
    most = sized.replicas_usable
    records = _TARGET_SECONDS / afternoon
    # for the assumed engine, not the actual one: operators do not know theirs exactly
    prompts = Engine().prompts_at(1 - _HEADROOM)

    def lag(seen: WorkerStatus) -> Target:
        return kafka_lag(seen.lag, records, world.partitions)

    def backlog(seen: WorkerStatus) -> Target:
        return Target(seen.told.backlog_gpu_seconds, _TARGET_SECONDS)

    def at_work(seen: WorkerStatus) -> Target:
        return Target(seen.told.in_flight, prompts)

    measures: dict[str, Measures] = {
        "lag in records": lambda seen: [lag(seen)],
        "backlog in GPU-seconds": lambda seen: [backlog(seen)],
        "prompts at work, and backlog": lambda seen: [at_work(seen), backlog(seen)],
    }
    scaled = [
        Scaling(name, targets, _LEAST, most, up=_CALM_UP, down=_SLOW_DOWN)
        for name, targets in measures.items()
    ]
    return [Scaling("fixed, for the peak", None, most, most), *scaled]


if __name__ == "__main__":
    typer.run(main)
