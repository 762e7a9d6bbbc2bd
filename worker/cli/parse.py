"""`guardstream parse`: parses completions."""

from typing import TYPE_CHECKING, Any, Literal

from worker.cli import Config, app
from worker.cli.lines import BadLine, read_lines, write_line

if TYPE_CHECKING:
    from worker.domain.judgements import Judgement


@app.command()
def parse(config: Config = None) -> None:
    """Completions as JSON Lines on stdin to one judgement line each.

    A line is `{"id", "completion", "has_response": bool, "finish_reason"}`,
    the last one `stop`, `length`, `repetition` or null;
    the completion is a string, or a list with one for each request of the guard, in order.
    """
    from pydantic import BaseModel, ValidationError

    from worker.domain.engines import stored_completions
    from worker.domain.events import Exchange
    from worker.domain.guard import read_completions
    from worker.runtime.guards import build_guard
    from worker.runtime.settings import load_settings

    class Line(BaseModel):
        id: Any = None
        completion: str | list[str]
        has_response: bool
        finish_reason: Literal["stop", "length", "repetition"] | None = None

    guard = build_guard(load_settings(config)).guard
    for number, text in read_lines():
        try:
            line = Line.model_validate_json(text)
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, fault["loc"]))
            raise BadLine(f"Line {number}: {where} {fault['msg']}.".replace(":  ", ": ")) from None
        completions = stored_completions(line.completion, line.finish_reason)
        exchange = Exchange("", "" if line.has_response else None)
        judgement = read_completions(guard, exchange, completions)
        if judgement is None:
            raise BadLine(
                f"Line {number}: the guard {guard.name} asks for more than {len(completions)}"
                " completions: give all of them as a list."
            )
        write_line({"id": line.id, **_document(judgement)})


def _document(judgement: "Judgement") -> dict[str, Any]:
    from worker.domain.questions import STANDARD_QUESTIONS

    return {
        "status": judgement.status,
        **{question.name: judgement.reading(question.name) for question in STANDARD_QUESTIONS},
        "criteria": judgement.criteria,
        "categories": judgement.categories,
        "severity": judgement.severity,
        "reasoning": judgement.reasoning,
        "flags": judgement.flags,
    }
