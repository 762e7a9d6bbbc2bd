"""`guardstream render`: the exact prompt of each event."""

from worker.cli import Config, app
from worker.cli.lines import BadLine, read_lines, write_line
from worker.domain.errors import RecordError


@app.command()
def render(config: Config = None) -> None:
    """Events as JSON Lines on stdin to `{"id", "prompt"}` lines: the text the model is given."""
    from worker.decoding.events import decode_event
    from worker.domain.events import judged_exchange
    from worker.runtime.build import build_guard
    from worker.runtime.settings import load_settings

    guard = build_guard(load_settings(config))
    for number, line in read_lines():
        try:
            event = decode_event(line)
            exchange = judged_exchange(event)
        except RecordError as error:
            raise BadLine(f"Line {number}: {error}") from None
        prompt = guard.render(exchange.prompt, exchange.response)
        write_line({"id": event.id, "prompt": prompt.text})
