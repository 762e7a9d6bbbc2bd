"""`guardstream check`: do the settings hold against the real world?"""

from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from worker.cli import Config, app, read_settings, run_async
from worker.errors import BusUnavailable, EngineUnavailable, Fatal, Retriable


@app.command()
def check(  # noqa: C901 - one function a check
    config: Config = None,
    load: Annotated[bool, typer.Option(help="Load the model and judge one event too.")] = False,
) -> None:
    """Prove the settings against the brokers, the topics and the model."""
    from rich.console import Console
    from rich.table import Table

    from worker.adapters.kafka.connection import require_topics
    from worker.app import build_judging, build_transactions
    from worker.brokers import build_connection

    settings = read_settings(config)
    connection = build_connection(settings)
    table = Table("", "check", "finding", box=None)
    failures = 0

    async def attempt(name: str, prove: Callable[[], Awaitable[str]]) -> None:
        nonlocal failures
        try:
            finding = await prove()
        except Fatal as error:
            failures += 1
            table.add_row("[red]✗[/]", name, str(error))
        else:
            table.add_row("[green]✓[/]", name, finding)

    async def topics(names: list[str]) -> str:
        found = await require_topics(connection, names)
        return ", ".join(
            f"{t.name} ({t.partitions} partitions, {t.max_bytes:,} bytes)" for t in found.values()
        )

    async def model() -> str:
        judging = build_judging(settings)
        if settings.engine.kind == "simulated":
            if not settings.engine.simulated.allowed:
                raise EngineUnavailable(
                    "The simulated engine judges nothing; set engine.simulated.allowed for a"
                    " rehearsal, or engine.kind to vllm."
                )
            return "simulated, as allowed"
        if load:
            await judging.start()
            await judging.stop()
            return f"{settings.engine.model} loads"
        return f"{settings.engine.model} is there (--load loads it)"

    async def transactions() -> str:
        group = settings.input.group_id
        found = build_transactions(settings, connection)
        await found.start()
        try:
            transactor = await found.open(f"{group}.check")
        except Retriable as error:
            raise BusUnavailable(f"No transaction can be had: {error}") from error
        await transactor.close()
        return f"group {group} may use transactional ids that begin with {group}."

    async def work() -> None:
        output = settings.output
        await attempt("input topics", lambda: topics(settings.input.topics))
        await attempt("verdict topic", lambda: topics([output.verdict_topic]))
        await attempt("dead-letter topic", lambda: topics([output.dead_letter_topic]))
        if settings.delivery.guarantee == "exactly_once":
            await attempt("transactions", transactions)
        await attempt("model", model)

    run_async(work())
    Console().print(table)
    if failures:
        raise typer.Exit(1)
