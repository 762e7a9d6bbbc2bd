"""`guardstream parse`: what the guard reads out of completions."""

from typing import Any, Literal

from worker.cli import Config, app
from worker.cli.lines import BadLine, read_lines, write_line


@app.command()
def parse(config: Config = None) -> None:
    """Completions as JSON Lines on stdin to one judgement line each.

    A line is `{"id", "completion", "has_response": bool, "finish_reason": "stop"|"length"|null}`.
    """
    from dataclasses import asdict

    from pydantic import BaseModel, ValidationError

    from worker.runtime.build import build_guard
    from worker.runtime.settings import load_settings

    class Line(BaseModel):
        id: Any = None
        completion: str
        has_response: bool
        finish_reason: Literal["stop", "length"] | None = None

    guard = build_guard(load_settings(config))
    for number, text in read_lines():
        try:
            line = Line.model_validate_json(text)
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, fault["loc"]))
            raise BadLine(f"Line {number}: {where} {fault['msg']}.".replace(":  ", ": ")) from None
        judgement = guard.read(
            line.completion, has_response=line.has_response, finish_reason=line.finish_reason
        )
        write_line({"id": line.id, **asdict(judgement)})
