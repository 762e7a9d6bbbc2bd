"""`guardstream check`: checks the settings against Kafka and the model."""

from typing import Annotated

import typer

from worker.cli import Config, app, read_settings, run_async


@app.command()
def check(
    config: Config = None,
    load: Annotated[bool, typer.Option(help="Load the model and judge one event too.")] = False,
) -> None:
    """Check the settings against the brokers, topics, access rights and the model."""
    from rich.console import Console
    from rich.table import Table

    from worker.operator.preflight import CheckResult, check_settings

    settings = read_settings(config)
    table = Table("", "check", "result", box=None)
    results: list[CheckResult] = []

    async def work() -> None:
        results.extend(await check_settings(settings, load=load))

    run_async(work())
    for result in results:
        mark = "[green]✓[/]" if result.passed else "[red]✗[/]"
        table.add_row(mark, result.check, result.text)
    Console().print(table)
    if not all(result.passed for result in results):
        raise typer.Exit(1)
