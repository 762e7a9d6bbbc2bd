"""The reasoning, and the answers after it: one request, or several that continue one another.

The engine stops where the answers begin if a score of them is wanted, since log probabilities are
costly in a long request: a short one asks for the answers. It stops before the second task if the
exchange has no response, since only the first task applies then. Each continuation finds what was
computed before in the prefix cache.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace

from worker.domain.engines import Completion, Continuation, EngineRequest, FinishReason
from worker.domain.judgements import Judgement
from worker.domain.prompts import Prompt
from worker.guards.guardreasoner.answers import (
    BLOCK_TOKENS,
    FIRST_HEADING,
    places,
    questions_of,
    stage_scores,
)
from worker.guards.guardreasoner.parser import parse
from worker.guards.guardreasoner.repair import Repair, repaired, wants_repair

STOP_TOKENS = ("<|eot_id|>", "<|end_of_text|>")
GATED = "gated"
_SECOND_TASK = "# Task 2"
# text of the exchange that is quoted can look like the answers, and more reasoning follows it
_MOST_PIECES = 8

Requests = Generator[EngineRequest, Completion, Judgement]


@dataclass(frozen=True, slots=True)
class ReasoningPlan:
    """How a guard reasons.

    Attributes:
        repair: how completions without an answer are repaired; None leaves them inconclusive.
        scored: whether the labels after the reasoning have scores.
        gated: whether an exchange without a response is asked for the first task only.
        priority: of the requests; the lowest goes first.
    """

    repair: Repair | None = None
    scored: bool = False
    gated: bool = False
    priority: int = 0


def reason(prompt: Prompt, plan: ReasoningPlan, *, has_response: bool) -> Requests:
    """Let the model reason about a prompt; the judgement that follows."""
    pieces = Pieces(plan, has_response=has_response)
    request = pieces.first(prompt)
    while True:
        completion = yield request
        if (following := pieces.take(request, completion)) is None:
            break
        request = following
    judgement = pieces.judgement()
    if plan.repair is not None and wants_repair(judgement):
        judgement = yield from repaired(
            request, completion, judgement, has_response=has_response, repair=plan.repair
        )
    return judgement


class Pieces:
    """The completions of a reasoning, put together.

    Attributes:
        text: all that was written so far.
        starts: where in it each completion begins.
    """

    def __init__(self, plan: ReasoningPlan, *, has_response: bool) -> None:
        self._plan = plan
        self._has_response = has_response
        self._questions = questions_of(has_response=has_response)
        self._stops = (
            *((_SECOND_TASK,) if plan.gated and not has_response else ()),
            *((FIRST_HEADING,) if plan.scored else ()),
        )
        self._finish_reason: FinishReason | None = None
        self._answers: Completion | None = None
        self._gated: Judgement | None = None
        self.text = ""
        self.starts: list[int] = []

    def first(self, prompt: Prompt) -> EngineRequest:
        """The request that begins the reasoning."""
        return EngineRequest(
            prompt,
            stop_tokens=STOP_TOKENS,
            stop=self._stops,
            priority=self._plan.priority,
            stop_loops=True,
        )

    def take(self, request: EngineRequest, completion: Completion) -> EngineRequest | None:
        """Take the next completion; the request that continues it, or None at the end."""
        self.starts.append(len(self.text))
        self.text += completion.text
        self._finish_reason = completion.finish_reason
        stopped_by = completion.stopped_by
        if request.scores:
            self._answers = completion if completion.finish_reason == "stop" else None
            ended = self._answers is not None
        else:
            ended = stopped_by is None
        if stopped_by == _SECOND_TASK and (found := self._first_task()) is not None:
            self._gated = found
            return None
        self.text += stopped_by or ""
        if ended:
            return None
        if len(self.starts) == _MOST_PIECES:
            self._finish_reason = "length"
            return None
        following = replace(
            request,
            prompt=Continuation(request, "", completion),
            max_tokens=None,
            stop=tuple(stop for stop in self._stops if stop != _SECOND_TASK),
            scores=(),
            stop_loops=True,
        )
        if stopped_by == FIRST_HEADING:
            answers = places(self._questions)
            following = replace(
                following, max_tokens=BLOCK_TOKENS, stop=(), scores=answers, stop_loops=False
            )
        return following

    def judgement(self) -> Judgement:
        """The judgement on all that was written."""
        if self._gated is not None:
            return self._gated
        read = parse(self.text, has_response=self._has_response, finish_reason=self._finish_reason)
        if self._answers is None:
            return read
        scores = stage_scores(self._questions, self._answers.logprobs, "reasoned")
        return replace(read, scores=scores)

    def _first_task(self) -> Judgement | None:
        """The judgement, if the section of the first task states its label."""
        read = parse(self.text, has_response=False, finish_reason="stop")
        if read.status != "complete":
            return None
        # the other sections and the answers were not asked for
        flags = tuple(
            flag for flag in read.flags if flag not in ("irregular_headers", "backfilled")
        )
        return replace(read, flags=(*flags, GATED))
