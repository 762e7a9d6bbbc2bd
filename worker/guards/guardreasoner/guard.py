"""The guard GuardReasoner: it reasons about the three standard tasks, or scores them."""

import hashlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Self

from typing_extensions import override

from worker.domain.calibration import UNCALIBRATED, Calibration
from worker.domain.chat import TemplateSource
from worker.domain.engines import Completion, EngineRequest
from worker.domain.errors import WrongSetting
from worker.domain.events import Exchange
from worker.domain.guard import Asking, CompletionSpan, Guard
from worker.domain.judgements import Judgement
from worker.domain.questions import STANDARD_QUESTIONS
from worker.guards.guardreasoner.answers import questions_of
from worker.guards.guardreasoner.cascade import ScoringPlan, cascade, scored
from worker.guards.guardreasoner.flags import FLAGS
from worker.guards.guardreasoner.prompt import PromptForm, imitations, render
from worker.guards.guardreasoner.reasoning import ReasoningPlan, reason
from worker.guards.guardreasoner.repair import Repair
from worker.guards.guardreasoner.spans import spans_of


class GuardReasoner(Guard):
    """Reasons about the three standard tasks, then answers them; or answers them first.

    Args:
        form: `raw` is the prompt of the training; `chat` adds the turns of Llama 3.
        reasoning: how it reasons.
        scoring: when it reasons, and how its scores are read.
    """

    name = "guardreasoner"
    questions = STANDARD_QUESTIONS
    flags: Mapping[str, str] = FLAGS

    def __init__(
        self,
        form: PromptForm = "raw",
        reasoning: ReasoningPlan | None = None,
        scoring: ScoringPlan | None = None,
    ) -> None:
        self._form: PromptForm = form
        self._reasoning = reasoning or ReasoningPlan()
        self._scoring = scoring or ScoringPlan()
        template = render("{prompt}", "{response}", form)
        shape = "\x00".join(run if isinstance(run, str) else run.name for run in template.runs)
        self._prompt_sha256 = hashlib.sha256(shape.encode()).hexdigest()

    @classmethod
    def from_options(
        cls,
        options: Mapping[str, Any],
        calibration: Calibration | None = None,
        templates: TemplateSource | None = None,  # noqa: ARG003 - its prompt is its own
    ) -> Self:
        """Build it from the settings of the groups `guard` and `judging`.

        Raises:
            WrongSetting: `guard.options` or `guard.context_turns` is set.
        """
        if options.get("options"):
            raise WrongSetting("guard.options: the guard guardreasoner has no options.")
        if options.get("context_turns"):
            raise WrongSetting(
                "guard.context_turns: the guard guardreasoner judges one request and one response;"
                " set it to 0, or use a guard that takes conversations."
            )
        least_mass = options.get("least_mass", 0.5)
        mode = options.get("reasoning", "always")
        return cls(
            options.get("prompt_form", "raw"),
            ReasoningPlan(
                repair=Repair(least_mass) if options.get("repair") else None,
                # a cascade combines the scores of both stages
                scored=bool(options.get("scores")) or mode != "always",
                gated=bool(options.get("gate_prompt_only")),
            ),
            ScoringPlan(
                mode=mode,
                audit_share=options.get("audit_share", 0.0),
                least_mass=least_mass,
                calibration=calibration or UNCALIBRATED,
            ),
        )

    @property
    @override
    def prompt_sha256(self) -> str:
        return self._prompt_sha256

    @override
    def judge(self, exchange: Exchange) -> Asking:
        judgement = yield from self._requests(exchange)
        # flags of the exchange come before those of the completion
        flags = imitations(exchange.prompt, exchange.response)
        return replace(judgement, flags=(*flags, *judgement.flags)) if flags else judgement

    def _requests(self, exchange: Exchange) -> Generator[EngineRequest, Completion, Judgement]:
        prompt = render(exchange.prompt, exchange.response, self._form)
        has_response = exchange.response is not None
        if self._scoring.mode != "always":
            return (yield from cascade(prompt, exchange, self._scoring, self._reasoning))
        judgement = yield from reason(prompt, self._reasoning, has_response=has_response)
        if not judgement.scores:
            return judgement
        return scored(questions_of(has_response=has_response), judgement, self._scoring)

    @override
    def spans(
        self, exchange: Exchange, completions: Sequence[Completion]
    ) -> tuple[tuple[CompletionSpan, ...], ...]:
        asking = self._requests(exchange)
        requests = [next(asking)]
        with suppress(StopIteration):
            for completion in completions:
                requests.append(asking.send(completion))  # noqa: PERF401 - it may end early
        return spans_of(requests, completions, has_response=exchange.response is not None)
