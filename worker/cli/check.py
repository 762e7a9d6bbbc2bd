"""`guardstream check`: do the settings hold against the real world?"""

from typing import Annotated

import typer

from worker.cli import Config, app, read_settings, run_async


@app.command()
def check(
    config: Config = None,
    load: Annotated[bool, typer.Option(help="Load the model and judge one event too.")] = False,
) -> None:
    """Prove the settings against the brokers, the topics, the rights and the model."""
    from rich.console import Console
    from rich.table import Table

    from worker.operator.preflight import Finding, check_settings

    settings = read_settings(config)
    table = Table("", "check", "finding", box=None)
    findings: list[Finding] = []

    async def work() -> None:
        findings.extend(await check_settings(settings, load=load))

    run_async(work())
    for finding in findings:
        mark = "[green]✓[/]" if finding.holds else "[red]✗[/]"
        table.add_row(mark, finding.check, finding.text)
    Console().print(table)
    if not all(finding.holds for finding in findings):
        raise typer.Exit(1)
