"""`guardstream judge`: verdicts without Kafka."""

import sys
import time
from collections import Counter
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import Config, app, read_settings, run_async
from worker.domain.errors import RecordError
from worker.domain.events import Skip

if TYPE_CHECKING:
    from worker.flow.judge import Judge
    from worker.flow.judging_all import Judged
    from worker.operator.offline.inputs import Source
    from worker.operator.offline.outputs import Counts, Output
    from worker.runtime.build import Judging

_STDIN = Path("-")


@app.command()
def judge(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            show_default=False,
            help="JSON Lines, or .parquet; stdin by default, or as -.",
        ),
    ] = _STDIN,
    config: Config = None,
    model: Annotated[
        str | None, typer.Option(help="Instead of engine.model; `demonstration` ships.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            help="Write verdicts here, as JSON Lines or .parquet, and resume from it.",
        ),
    ] = None,
    value_column: Annotated[
        str | None,
        typer.Option(
            help="The column of Parquet that holds records, as bytes or text; without it a row is"
            " one record, with a field for each column."
        ),
    ] = None,
) -> None:
    """Judge the records of a file or of stdin, with the engine and without Kafka.

    Verdicts are in the order of the records; their source.offset is the number of the row or line,
    from 0. Without --output they go to stdout, and what cannot be judged is reported on stderr.

    With --output, a run that was stopped or killed resumes with the same command, and each row is
    in the result once: in the file, or in FILE.refused.jsonl if it cannot be judged.

    Exit code 1 if a record cannot be judged.
    """
    from worker.decoding.values import JsonReader
    from worker.operator.offline.inputs import Lines, opened
    from worker.runtime.build import build_judging
    from worker.runtime.decoding import build_decoder

    if file != _STDIN and not file.is_file():
        raise typer.BadParameter(f"the file {file} does not exist", param_hint="INPUT")
    if output is not None and file == _STDIN:
        raise typer.BadParameter(
            "needs a file as INPUT: stdin cannot be read again; redirect stdout instead",
            param_hint="--output",
        )
    overrides = {"engine": {"model": model}} if model else {}
    settings = read_settings(config, **overrides)
    # lines and rows have no frames
    decoder = build_decoder(settings, JsonReader())
    if file == _STDIN:
        judging = build_judging(settings, decoder=decoder)
        failed = _to_stdout(judging, Lines(sys.stdin.buffer, "stdin"))
    else:
        with opened(file, value_column) as source:
            judging = build_judging(settings, decoder=decoder)
            if output is None:
                failed = _to_stdout(judging, source)
            else:
                from worker.operator.offline.origin import made_by

                if output.exists() and output.samefile(file):
                    raise typer.BadParameter("is the input", param_hint="--output")
                origin = made_by(file, value_column, judging.judge.reference, settings)
                failed = _to_file(judging, source, output, origin)
    if failed:
        raise typer.Exit(1)


def _to_stdout(judging: "Judging", source: "Source") -> int:
    """Print verdicts; how many exchanges cannot be judged."""
    from worker.cli.views.judging import JudgingView
    from worker.operator.offline.judging import judge_in_order

    counts: Counter[str] = Counter()

    async def work() -> None:
        await judging.start()
        try:
            with JudgingView(total=source.total, position=0, unit=source.unit) as view:
                judged = judge_in_order(judging.judge, source, judging.in_flight_limit)
                async with aclosing(judged):
                    async for exchanges, place in judged:
                        counts.update(_print(judging.judge, one) for one in exchanges)
                        view.update(place.position, counts.total())
        finally:
            await judging.stop()

    run_async(work())
    return counts["refused"]


def _print(judge: "Judge", one: "Judged") -> str:
    """Print the verdict on an exchange, or why there is none; what is counted."""
    from worker.domain.verdicts import encode_verdict

    if isinstance(one.result, Skip):
        return "skipped"
    if isinstance(one.result, RecordError):
        exchange = "" if one.number is None else f", exchange {one.number}"
        typer.echo(f"guardstream: Line {one.record.offset + 1}{exchange}: {one.result}", err=True)
        return "refused"
    sys.stdout.buffer.write(encode_verdict(judge.conclude(*one.result)) + b"\n")
    sys.stdout.buffer.flush()
    return "judged"


def _to_file(
    judging: "Judging", source: "Source", path: Path, origin: dict[str, str | None]
) -> int:
    """Write verdicts, from where an earlier run stopped; how many exchanges cannot be judged."""
    from worker.adapters.parquet import import_parquet
    from worker.operator.offline.outputs import begin, is_table, output_file

    if is_table(path):
        import_parquet()
    earlier = begin(path, origin)
    if earlier.complete:
        typer.echo(f"guardstream: {path} is complete already: {_said(earlier.counts)}.", err=True)
        return earlier.counts.refused
    if earlier.place.row:
        typer.echo(f"guardstream: {path}: resuming at row {earlier.place.row:,}.", err=True)
    with output_file(path, earlier) as output:
        try:
            counts = _judge_into(judging, source, output)
        except KeyboardInterrupt:
            typer.echo(
                f"guardstream: Interrupted; the same command resumes {path}"
                f" at row {output.progress.place.row:,}.",
                err=True,
            )
            raise
    return counts.refused


def _judge_into(judging: "Judging", source: "Source", output: "Output") -> "Counts":
    from worker.cli.views.judging import JudgingView
    from worker.operator.offline.judging import judge_file

    found: list[Counts] = []
    earlier = output.progress
    before = _all(earlier.counts)

    async def work() -> None:
        await judging.start()
        view = JudgingView(total=source.total, position=earlier.place.position, unit=source.unit)
        try:
            with view:
                found.append(
                    await judge_file(
                        judging.judge,
                        source,
                        output,
                        limit=judging.in_flight_limit,
                        monotonic=time.monotonic,
                        report=lambda place, counts: view.update(
                            place.position, _all(counts) - before
                        ),
                    )
                )
            typer.echo(f"guardstream: {_said(found[0])}, {view.rate:,.0f}/s.", err=True)
        finally:
            await judging.stop()

    run_async(work())
    return found[0]


def _all(counts: "Counts") -> int:
    return counts.judged + counts.refused + counts.skipped


def _said(counts: "Counts") -> str:
    said = f"{counts.judged:,} judged, {counts.refused:,} refused"
    return f"{said}, {counts.skipped:,} skipped" if counts.skipped else said
