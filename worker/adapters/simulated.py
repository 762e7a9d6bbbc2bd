"""An engine without a model, to size and rehearse a deployment without a GPU.

Its completions have the format of GuardReasoner and depend on a hash of the prompt only: they judge
nothing, and each verdict has the flag `simulated`.
"""

import asyncio
import hashlib
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from typing_extensions import override

from worker.domain.engines import (
    Completion,
    Engine,
    EngineReference,
    EngineRequest,
    FinishReason,
    LabelPlace,
    Usage,
    up_to_stop,
)
from worker.domain.errors import EngineDead, InvalidRequest, Retriable
from worker.domain.ports import Clock


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The behaviour of the simulated engine.

    Attributes:
        failure_rate: share of calls that fail with a transient error, between 0 and 1.
        refusal_rate: share of prompts that are always refused.
        hang_rate: share of calls that never end.
        death_rate: share of calls at which the engine dies.
        cut_rate: share of prompts whose completions are cut off, repeat themselves or are garbage.
        poison_rate: share of prompts that kill the engine every time.
    """

    time_to_first_token_seconds: float = 0.05
    time_per_output_token_seconds: float = 0.0005
    failure_rate: float = 0.0
    refusal_rate: float = 0.0
    hang_rate: float = 0.0
    death_rate: float = 0.0
    cut_rate: float = 0.0
    poison_rate: float = 0.0


class SimulatedEngine(Engine):
    """Completes prompts without a model."""

    flags = ("simulated",)
    reference = EngineReference("simulated", "1")
    max_num_seqs = 0
    max_prompt_tokens = 0
    progress = 0

    def __init__(
        self,
        *,
        behaviour: Behaviour,
        clock: Clock,
        max_num_seqs: int = 256,
        max_model_len: int = 8192,
        max_tokens: int = 2048,
    ) -> None:
        self._behaviour = behaviour
        self._clock = clock
        self.max_num_seqs = max_num_seqs
        self._slots = asyncio.Semaphore(max_num_seqs)
        self.max_prompt_tokens = max(max_model_len - max_tokens, max_model_len // 2)
        self._calls = 0
        self._dead = False

    @override
    async def start(self) -> None:
        self._dead = False

    @override
    async def ready(self) -> None:
        pass

    @override
    async def complete(
        self,
        request: EngineRequest,
        prompt_token_ids: Sequence[int],
        *,
        request_id: str,
        trace: Mapping[str, str],
    ) -> Completion:
        if not prompt_token_ids or len(prompt_token_ids) > self.max_prompt_tokens:
            raise InvalidRequest("The engine refuses this prompt.")
        draw = _draw(prompt_token_ids)
        if _happens(draw, "refusal", self._behaviour.refusal_rate):
            raise InvalidRequest("The engine refuses this prompt.")
        self._calls += 1
        chance = draw + self._calls
        self._dead = self._dead or poisonous(prompt_token_ids, self._behaviour.poison_rate)
        self._dead = self._dead or _happens(chance, "death", self._behaviour.death_rate)
        if self._dead:
            raise EngineDead("The engine died, as configured.")
        if _happens(chance, "hang", self._behaviour.hang_rate):
            await asyncio.get_running_loop().create_future()
        fails = _happens(chance, "failure", self._behaviour.failure_rate)
        drawn = _salted(draw, request_id) if request.temperature else draw
        reason: FinishReason = "stop"
        stopped_by = None
        if request.choices:
            text = request.choices[drawn % len(request.choices)]
        elif request.scores:
            text = _form(request.scores, drawn)
        else:
            text = _text(drawn)
            if _happens(drawn, "cut", self._behaviour.cut_rate):
                text, reason = _cut(text, _salted(drawn, "how"))
            text, stopped_by = up_to_stop(text, request.stop)
            reason = "stop" if stopped_by else reason
        tokens = max(len(text) // 4, 1)
        async with self._slots:
            await self._clock.sleep(
                self._behaviour.time_to_first_token_seconds
                + tokens * self._behaviour.time_per_output_token_seconds
            )
        self.progress += 1
        if fails:
            raise Retriable("The engine failed, as configured.")
        return Completion(
            text,
            reason,
            Usage(len(prompt_token_ids), tokens, 0),
            tuple(text.encode()),
            tuple(_logprobs(place, text, draw) for place in request.scores),
            stopped_by,
        )

    @override
    async def stop(self) -> None:
        pass


def poisonous(prompt_token_ids: Sequence[int], rate: float) -> bool:
    """Whether a prompt is in the share of prompts that kill the engine every time."""
    return bool(rate) and _happens(_draw(prompt_token_ids), "poison", rate)


def _draw(prompt_token_ids: Sequence[int]) -> int:
    prompt = struct.pack(f"<{len(prompt_token_ids)}I", *prompt_token_ids)
    return int.from_bytes(hashlib.blake2b(prompt, digest_size=8).digest())


def _happens(draw: int, salt: str, rate: float) -> bool:
    """Whether a draw is in the share `rate` of all draws."""
    return bool(rate) and _salted(draw, salt) / 2**56 < rate


def _salted(draw: int, salt: str) -> int:
    digest = hashlib.blake2b(f"{salt}{draw}".encode(), digest_size=7).digest()
    return int.from_bytes(digest)


def _form(places: Sequence[LabelPlace], draw: int) -> str:
    """A label at each place, and nothing but what precedes it."""
    return "".join(
        place.after + place.labels[_salted(draw, place.after) % len(place.labels)]
        for place in places
    )


def _logprobs(place: LabelPlace, text: str, draw: int) -> dict[str, float]:
    """Log probabilities with a sum of 0.9, most of it on the label that was drawn."""
    weights = {
        label: 1
        + _salted(draw, place.after + label) % 8
        + 64 * ((place.after + label) in text if place.after else text.startswith(label))
        for label in place.labels
    }
    total = sum(weights.values())
    return {label: math.log(0.9 * weight / total) for label, weight in weights.items()}


def _cut(text: str, draw: int) -> tuple[str, FinishReason]:
    """A completion without an answer: cut off anywhere, repeating itself, or garbage."""
    kind, at = draw % 4, draw // 4 % len(text)
    if kind == 0:
        return text[:at], "length"
    if kind == 1:
        return text[:at] + "\nThe answer is not clear to me yet." * 20, "repetition"
    if kind == 2:
        return text[:at].replace("Answers", "Thoughts"), "stop"
    return bytes((draw >> shift) % 95 + 32 for shift in range(0, 48, 6)).decode() * (at % 7), "stop"


def _text(draw: int) -> str:
    request = ("harmful", "unharmful")[draw & 1]
    refusal = ("refusal", "compliance")[draw >> 1 & 1]
    response = "unharmful" if refusal == "refusal" else ("harmful", "unharmful")[draw >> 2 & 1]
    sections = [
        f"# Task {task}\n## Reasoning Step 1\nThis is a simulation; no model has read the text.\n"
        f"## Conclusion\nThe answer is {label}.\n"
        for task, label in enumerate((request, refusal, response), start=1)
    ]
    answers = f"Answers: \nRequest: {request}\nCompletion: {refusal}\nResponse: {response}"
    return "\n".join([*sections, "---", "", answers])
