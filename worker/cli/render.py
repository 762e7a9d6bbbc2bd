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
    from worker.decoding.decoder import EventDecoder
    from worker.domain.errors import RecordError
    from worker.domain.guard import first_prompt
    from worker.domain.records import record_of_line
    from worker.runtime.build import build_guard
    from worker.runtime.settings import load_settings

    guard, decoder, failed = build_guard(load_settings(config)), EventDecoder(), False
    for number, line in read_lines():
        try:
            event, exchange = decoder.decode(record_of_line("stdin", number, line, time.time()))
        except RecordError as error:
            write_line({"line": number, "error": str(error)})
            failed = True
            continue
        write_line({"id": event.id, "prompt": first_prompt(guard, exchange).text})
    if failed:
        raise typer.Exit(1)
