"""The guard GuardReasoner: one request that reasons about the three standard tasks."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from typing_extensions import override

from worker.domain.engines import Completion, EngineRequest
from worker.domain.events import Exchange
from worker.domain.guard import Asking, CompletionSpan, Guard
from worker.domain.questions import STANDARD_QUESTIONS
from worker.guards.guardreasoner.flags import FLAGS
from worker.guards.guardreasoner.parser import parse
from worker.guards.guardreasoner.prompt import PromptForm, imitations, render
from worker.guards.guardreasoner.repair import Repair, repaired, tasks_without_label, wants_repair
from worker.guards.guardreasoner.spans import find_spans

_STOP_TOKENS = ("<|eot_id|>", "<|end_of_text|>")


class GuardReasoner(Guard):
    """Reasons about the three standard tasks, then answers them.

    Args:
        form: `raw` is the prompt of the training; `chat` adds the turns of Llama 3.
        repair: how completions without an answer are repaired; None leaves them inconclusive.
    """

    name = "guardreasoner"
    questions = STANDARD_QUESTIONS
    flags: Mapping[str, str] = FLAGS

    def __init__(self, form: PromptForm = "raw", repair: Repair | None = None) -> None:
        self._form: PromptForm = form
        self._repair = repair
        template = render("{prompt}", "{response}", form)
        shape = "\x00".join(run if isinstance(run, str) else run.name for run in template.runs)
        self._prompt_sha256 = hashlib.sha256(shape.encode()).hexdigest()

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Build it from the settings of the groups `guard` and `judging`."""
        repair = Repair(options.get("least_mass", 0.5)) if options.get("repair") else None
        return cls(options.get("prompt_form", "raw"), repair)

    @property
    @override
    def prompt_sha256(self) -> str:
        return self._prompt_sha256

    @override
    def judge(self, exchange: Exchange) -> Asking:
        # flags of the exchange come before those of the completion
        flags = imitations(exchange.prompt, exchange.response)
        prompt = render(exchange.prompt, exchange.response, self._form)
        request = EngineRequest(prompt, stop_tokens=_STOP_TOKENS, stop_loops=True)
        completion = yield request
        has_response = exchange.response is not None
        judgement = parse(
            completion.text, has_response=has_response, finish_reason=completion.finish_reason
        )
        if self._repair is not None and wants_repair(judgement):
            judgement = yield from repaired(
                request, completion, judgement, has_response=has_response, repair=self._repair
            )
        return replace(judgement, flags=(*flags, *judgement.flags)) if flags else judgement

    @override
    def spans(
        self, exchange: Exchange, completions: Sequence[Completion]
    ) -> tuple[tuple[CompletionSpan, ...], ...]:
        has_response = exchange.response is not None
        first, *forced = completions
        reason = first.finish_reason
        read = find_spans(first.text, has_response=has_response, finish_reason=reason)
        if not forced:
            return (read,)
        judgement = parse(first.text, has_response=has_response, finish_reason=reason)
        tasks = tasks_without_label(judgement, has_response=has_response)
        return (
            read,
            *(
                (CompletionSpan(1, len(one.text), "label", task),)
                for one, task in zip(forced, tasks, strict=False)
            ),
        )
