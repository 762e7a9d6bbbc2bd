"""The guard GuardReasoner: one request, which reasons about all three tasks and answers them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from worker.domain.engines import Completion, EngineRequest
from worker.domain.events import Exchange
from worker.domain.guard import Asking, CompletionSpan
from worker.domain.questions import STANDARD_QUESTIONS
from worker.guards.guardreasoner.parser import parse
from worker.guards.guardreasoner.prompt import PromptForm, imitations, render
from worker.guards.guardreasoner.spans import find_spans

_STOP_TOKENS = ("<|eot_id|>", "<|end_of_text|>")


class GuardReasoner:
    """Implements the protocol `Guard`.

    Args:
        form: `raw` as the model was trained, or `chat` with the turns of Llama 3.
    """

    name = "guardreasoner"
    questions = STANDARD_QUESTIONS

    def __init__(self, form: PromptForm = "raw") -> None:
        self._form: PromptForm = form
        template = render("{prompt}", "{response}", form)
        shape = "\x00".join(run if isinstance(run, str) else run.name for run in template.runs)
        self.prompt_sha256 = hashlib.sha256(shape.encode()).hexdigest()

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Build it from the settings of the group `guard`."""
        return cls(options.get("prompt_form", "raw"))

    def judge(self, exchange: Exchange) -> Asking:
        """Ask once; flags of the exchange stand before those of the completion."""
        flags = imitations(exchange.prompt, exchange.response)
        prompt = render(exchange.prompt, exchange.response, self._form)
        completion = yield EngineRequest(prompt, stop_tokens=_STOP_TOKENS)
        judgement = parse(
            completion.text,
            has_response=exchange.response is not None,
            finish_reason=completion.finish_reason,
        )
        return replace(judgement, flags=(*flags, *judgement.flags)) if flags else judgement

    def spans(
        self, exchange: Exchange, completions: Sequence[Completion]
    ) -> tuple[tuple[CompletionSpan, ...], ...]:
        """The labels, steps, conclusions and flags of each completion."""
        has_response = exchange.response is not None
        return tuple(
            find_spans(one.text, has_response=has_response, finish_reason=one.finish_reason)
            for one in completions
        )
