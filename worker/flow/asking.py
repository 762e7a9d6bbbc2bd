"""Asks the engine what a guard wants to know: its requests, one after another."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from worker.domain.engines import (
    Completion,
    Continuation,
    Engine,
    EngineRequest,
    FinishReason,
    Tokenizer,
    Usage,
    finish_reason_of,
    total_usage,
)
from worker.domain.errors import (
    EngineInterrupted,
    InvalidRequest,
    JudgingTimedOut,
    PoisonRecord,
    PromptTooLong,
    Retriable,
    RetriesSpent,
)
from worker.domain.events import Exchange
from worker.domain.guard import Asking
from worker.domain.judgements import Judgement
from worker.domain.ports import Clock
from worker.domain.prompts import Prompt
from worker.engine.poison_prompts import Isolation, PoisonPrompts, isolation_after
from worker.engine.retry import RetryPolicy, retrying
from worker.telemetry import Telemetry

# a timeout that fires later than this after its time fired in a process that had been stopped
_STOOD_STILL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class AskingPolicy:
    """How the engine is asked.

    Attributes:
        request_timeout_seconds: for one completion, waiting at the engine included.
        temperature: of every request, where it is not 0: training draws several completions.
    """

    request_timeout_seconds: float
    retries: RetryPolicy
    temperature: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A judgement, and the completions that it was read from."""

    judgement: Judgement
    completions: tuple[Completion, ...]

    @property
    def usage(self) -> Usage:
        """Tokens of all completions."""
        return total_usage(self.completions)

    @property
    def finish_reason(self) -> FinishReason | None:
        """Of the first completion that did not come to its end; else of the last one."""
        completions = self.completions
        if len(completions) == 1:
            return completions[0].finish_reason
        return finish_reason_of([one.finish_reason for one in completions])


class Asker:
    """Sends a guard's requests to the engine, with retries, and again after the engine died.

    A prompt that was in flight when the engine died is sent again with fewer others each time, at
    last alone: see `PoisonPrompts`.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        tokenizer: Tokenizer,
        telemetry: Telemetry,
        clock: Clock,
        policy: AskingPolicy,
    ) -> None:
        self.engine = engine
        self.tokenizer = tokenizer
        self._telemetry = telemetry
        self._clock = clock
        self._policy = policy
        self._poison_prompts = PoisonPrompts()

    async def ask(
        self,
        asking: Asking,
        request: EngineRequest,
        prompt_token_ids: Sequence[int],
        *,
        exchange: Exchange,
        about: str,
    ) -> Answer:
        """Run a judgement from its first request, whose prompt is tokenised.

        Args:
            asking: the judgement, which has yielded `request`.
            request: the first one.
            prompt_token_ids: of its prompt.
            exchange: what is judged, for spans.
            about: names the record in request ids.

        Raises:
            RecordError: this exchange cannot be judged.
            Fatal: none can.
        """
        asked: list[tuple[EngineRequest, Sequence[int] | None]] = [(request, prompt_token_ids)]
        completions: list[Completion] = []
        while True:
            request_id = f"{about}.{len(completions)}" if completions else about
            request, token_ids = asked[-1]
            try:
                try:
                    if token_ids is None:
                        raise prompt_too_long(self.engine.max_prompt_tokens)
                    completion = await self._complete(request, token_ids, exchange, request_id)
                except (InvalidRequest, PromptTooLong) as refused:
                    following = asking.throw(refused)
                else:
                    completions.append(completion)
                    following = asking.send(completion)
            except StopIteration as end:
                return Answer(end.value, tuple(completions))
            asked.append((following, await self._tokenise(following.prompt, asked)))

    async def _tokenise(
        self,
        prompt: Prompt | Continuation,
        asked: Sequence[tuple[EngineRequest, Sequence[int] | None]],
    ) -> list[int] | None:
        """The token ids of a further prompt; None for one that is too long."""
        limit = self.engine.max_prompt_tokens
        encoded = (await self.tokenizer.encode([_text_of(prompt)], limit))[0]
        if encoded is None or isinstance(prompt, Prompt):
            return encoded
        before = next(ids for request, ids in asked if request is prompt.of)
        if before is None:
            return None
        generated = prompt.completion.token_ids if prompt.completion else ()
        return [*before, *generated, *encoded]

    async def _complete(
        self, request: EngineRequest, token_ids: Sequence[int], exchange: Exchange, request_id: str
    ) -> Completion:
        if self._policy.temperature:
            request = replace(request, temperature=self._policy.temperature)
        deaths = 0
        while True:
            isolation = isolation_after(deaths)
            await self._poison_prompts.enter(isolation)
            try:
                return await self._try(request, token_ids, exchange, request_id)
            except EngineInterrupted:
                deaths += 1
                if isolation is Isolation.ALONE:
                    raise PoisonRecord(
                        f"The engine died {deaths} times over this prompt, at last with it alone."
                    ) from None
            finally:
                self._poison_prompts.leave(isolation)

    async def _try(
        self, request: EngineRequest, token_ids: Sequence[int], exchange: Exchange, request_id: str
    ) -> Completion:
        async def attempt() -> Completion:
            with self._telemetry.chat(exchange, request, self.engine.reference.name) as chat:
                chat.completion = await self.engine.complete(
                    request, token_ids, request_id=request_id, trace=chat.context
                )
                return chat.completion

        retries, allowed = self._policy.retries, self._policy.request_timeout_seconds
        while True:
            # the wait for a restart is not the prompt's time
            await self.engine.ready()
            began = self._clock.monotonic()
            try:
                async with asyncio.timeout(allowed):
                    return await retrying(
                        attempt, policy=retries, sleep=self._clock.sleep, uniform=random.random
                    )
            except TimeoutError:
                if self._clock.monotonic() - began > allowed + _STOOD_STILL_SECONDS:
                    continue  # this process stood still, not the engine
                raise JudgingTimedOut(f"No answer of the engine within {allowed:g} s.") from None
            except Retriable:
                raise RetriesSpent(
                    f"The engine failed {retries.attempts} times on this prompt."
                ) from None


def prompt_too_long(limit: int) -> PromptTooLong:
    """The refusal of a prompt that has more tokens than this."""
    return PromptTooLong(f"The prompt exceeds the model's {limit} tokens.")


def _text_of(prompt: Prompt | Continuation) -> Prompt:
    return prompt if isinstance(prompt, Prompt) else Prompt(prompt.runs, place=prompt.place)
