"""`python -m benchmarks.gpu`: pack here, measure on the bare machine, report here again."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help=__doc__, no_args_is_help=True)


@app.command()
def pack(
    folder: Annotated[Path, typer.Argument(help="Ignored by git.")] = Path("build/gpu"),
    most_mebibytes: Annotated[
        int | None,
        typer.Option(min=1, help="Of a piece; by default what the repository leaves of 64."),
    ] = None,
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="With vLLM for the CPU, to try the steps here.")
    ] = False,
) -> None:
    """Download what the machine lacks, cut it into pieces, and print the calls that use them."""
    from benchmarks.gpu.packing import pack as pack_into  # noqa: PLC0415

    for line in pack_into(folder, most_mebibytes, rehearse=rehearse):
        typer.echo(line)


@app.command()
def measure(
    out: Annotated[Path, typer.Option(help="Folder for the figures and the logs.")],
    seconds: Annotated[float, typer.Option(min=1, help="In total.")] = 500,
    cargo: Annotated[Path, typer.Option(help="What was unpacked.")] = Path("build/gpu/cargo"),
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="The same steps with a small model on a CPU.")
    ] = False,
) -> None:
    """Measure, the most wanted first, within the time."""
    from benchmarks.gpu.measuring import measure as measure_into  # noqa: PLC0415

    measure_into(out, seconds, cargo, rehearse=rehearse)


@app.command()
def report(
    figures: Annotated[Path, typer.Argument(help="figures.jsonl")],
    keep: Annotated[
        bool, typer.Option("--keep", help="Store them for docs/benchmarks.md too.")
    ] = False,
) -> None:
    """Print the section for docs/benchmarks.md, and the options of `guardstream size`."""
    from benchmarks.gpu import report as reporting  # noqa: PLC0415
    from benchmarks.gpu.record import read_figures  # noqa: PLC0415

    with figures.open() as lines:
        try:
            found = read_figures(lines)
        except ValueError as reason:
            raise typer.BadParameter(f"{figures}: {reason}", param_hint="FIGURES") from reason
    typer.echo(reporting.section_of(found))
    if options := reporting.size_options(found):
        typer.echo(options)
    if keep:
        typer.echo(f"{reporting.keep(found)} is written; python -m benchmarks --report-only")


if __name__ == "__main__":
    app()
