"""`guardstream map`: a dry run of `input.mapping`."""

import time
from typing import Annotated

import typer

from worker.cli import Config, app, read_settings
from worker.cli.lines import read_lines, write_line

_SAMPLED_LINES = 1000


@app.command("map")
def map_records(
    config: Config = None,
    mapping: Annotated[
        str | None,
        typer.Option(help="Instead of input.mapping: a preset's name, or the path of a file."),
    ] = None,
    suggest: Annotated[
        bool,
        typer.Option("--suggest", help="Name the mappings that understand the lines, best first."),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Events only, no report.")] = False,
) -> None:
    """Records as lines on stdin to events on stdout, by input.mapping, and a report on stderr.

    The report says how many records are understood, skipped and refused, which fields were found,
    and why the first records are refused. Exit code 1 if one is refused.
    """
    if suggest:
        _suggest()
        return
    from worker.cli.views.understanding import show_understanding
    from worker.decoding.decoder import Decoded
    from worker.decoding.values import JsonReader
    from worker.domain.records import record_of_line
    from worker.operator.understanding import Understanding
    from worker.runtime.decoding import build_decoder

    settings = read_settings(config, **({"input": {"mapping": mapping}} if mapping else {}))
    decoder, found = build_decoder(settings, JsonReader()), Understanding()
    for number, line in read_lines():
        decoding = decoder.decode(record_of_line("stdin", number - 1, line, time.time()))
        found.add(f"line {number}", decoding)
        for one in decoding.exchanges:
            if isinstance(one, Decoded):
                write_line(one.event.document())
    if not quiet:
        show_understanding(found, settings.input.mapping)
    if found.refused:
        raise typer.Exit(1)


def _suggest() -> None:
    from itertools import islice

    from worker.cli.views.understanding import show_suggestions
    from worker.domain.records import record_of_line
    from worker.operator.understanding import suggest as find

    lines = list(islice(read_lines(), _SAMPLED_LINES))
    records = [record_of_line("stdin", number, line, time.time()) for number, line in lines]
    found = find(records)
    if not found:
        typer.echo(
            "guardstream: No mapping that ships understands these lines; write one of your own, see"
            " docs/adopt.md.",
            err=True,
        )
        raise typer.Exit(1)
    show_suggestions(found, len(records))
