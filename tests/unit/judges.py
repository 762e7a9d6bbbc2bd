"""Judges for tests: a guard over a simulated engine, with a tokenizer that counts words."""

from worker.decoding.decoder import EventDecoder
from worker.decoding.values import JsonReader
from worker.domain.verdicts import reference_to
from worker.engine.retry import RetryPolicy
from worker.flow.asking import Asker, AskingPolicy
from worker.flow.context import ContextBudget
from worker.flow.judge import Judge
from worker.guards.guardreasoner.guard import GuardReasoner
from worker.telemetry import Telemetry


class WordTokenizer:
    async def encode(self, prompts, limit):
        ids = [[1] * len(prompt.text.split()) for prompt in prompts]
        return [found if len(found) <= limit else None for found in ids]

    def token_id(self, name):
        return len(name)


def build_judge(
    engine,
    clock,
    *,
    guard=None,
    tokenizer=None,
    telemetry=None,
    model="m",
    framing="none",
    request_timeout_seconds=30.0,
    decoder=None,
    context_tokens=None,
):
    guard = guard or GuardReasoner()
    tokenizer = tokenizer or WordTokenizer()
    return Judge(
        guard=guard,
        guard_reference=reference_to(guard, model, None),
        asker=Asker(
            engine=engine,
            tokenizer=tokenizer,
            telemetry=telemetry or Telemetry(clock, questions=guard.questions),
            clock=clock,
            policy=AskingPolicy(request_timeout_seconds, RetryPolicy()),
        ),
        decoder=decoder or EventDecoder(JsonReader(framing)),
        clock=clock,
        context=ContextBudget(context_tokens, tokenizer) if context_tokens else None,
    )
