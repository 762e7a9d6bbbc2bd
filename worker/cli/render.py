"""`guardstream render`: the exact prompt of each event."""

import time

import typer

from worker.cli import Config, app
from worker.cli.lines import read_lines, write_line


@app.command()
def render(config: Config = None) -> None:
    """Events as JSON Lines on stdin to `{"id", "prompt"}` lines: the text the model is given.

    A line that is no event gives `{"line", "error"}`, and exit code 1 at the end. Of a guard that
    asks more than once, the first prompt is shown.
    """
    from worker.decoding.decoder import Refused
    from worker.decoding.values import JsonReader
    from worker.domain.errors import RecordError
    from worker.domain.guard import first_prompt
    from worker.domain.records import record_of_line
    from worker.runtime.decoding import build_decoder
    from worker.runtime.guards import build_guard
    from worker.runtime.settings import load_settings

    settings = load_settings(config)
    guard, failed = build_guard(settings).guard, False
    decoder = build_decoder(settings, JsonReader())
    for number, line in read_lines():
        record = record_of_line("stdin", number, line, time.time())
        for one in decoder.decode(record).exchanges:
            try:
                if isinstance(one, Refused):
                    raise one.error
                prompt = first_prompt(guard, one.exchange).text
            except RecordError as error:
                write_line({"line": number, "error": str(error)})
                failed = True
            else:
                write_line({"id": one.event.id, "prompt": prompt})
    if failed:
        raise typer.Exit(1)
