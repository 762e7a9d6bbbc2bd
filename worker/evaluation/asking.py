"""A completion by the engine for each labelled event, many at a time."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing

from worker.domain.engines import Completion, finish_reason_of, total_usage
from worker.domain.records import Record, record_of_line
from worker.evaluation.answers import (
    Answer,
    StoredCompletion,
    read_answer,
    rendered_sha256,
    unjudged,
)
from worker.evaluation.keeping import CompletionsFile
from worker.evaluation.labelled import LabelledEvent
from worker.flow.judge import Judge, PreparedRecord
from worker.flow.judging_all import CHUNK_RECORDS, Asked, judge_all


async def ask(
    judge: Judge,
    events: Sequence[LabelledEvent],
    *,
    limit: int,
    now: Callable[[], float],
    kept: CompletionsFile | None,
    progress: Callable[[int], None],
) -> dict[str, Answer]:
    """The answer to each event by its id; the engine completes those that are not stored.

    At most `limit` requests run at a time; `progress` gets the number of answers so far.

    Raises:
        Fatal: no event can be judged.
        UnusableFile: a completion cannot be stored.
    """
    answers: dict[str, Answer] = {}
    if kept is not None:
        kept.require_engine(judge.engine_reference)
        found = ((event.id, kept.stored.answer(event, judge.guard)) for event in events)
        answers = {name: answer for name, answer in found if answer.status != "unjudged"}
    progress(len(answers))
    missing = [event for event in events if event.id not in answers]
    async with aclosing(judge_all(judge, _records(missing, now), limit)) as judged:
        async for (one,) in judged:
            event = missing[one.record.offset]
            if not isinstance(one.result, Asked):
                answers[event.id] = unjudged(str(one.result))
            else:
                prepared, answer = one.result
                completed = _stored(judge, event, prepared, answer.completions)
                if kept is not None:
                    kept.append(completed)
                answers[event.id] = read_answer(event, judge.guard, completed)
            progress(len(answers))
    return answers


async def _records(
    events: Sequence[LabelledEvent], now: Callable[[], float]
) -> AsyncIterator[list[Record]]:
    for start in range(0, len(events), CHUNK_RECORDS):
        chunk = enumerate(events[start : start + CHUNK_RECORDS], start)
        yield [record_of_line("evaluate", number, event.value, now()) for number, event in chunk]


def _stored(
    judge: Judge,
    labelled: LabelledEvent,
    prepared: PreparedRecord,
    completions: Sequence[Completion],
) -> StoredCompletion:
    texts = [completion.text for completion in completions]
    reasons = tuple(completion.finish_reason for completion in completions)
    logprobs = tuple(completion.logprobs for completion in completions)
    stopped_by = tuple(completion.stopped_by for completion in completions)
    is_one = len(texts) == 1
    return StoredCompletion(
        id=labelled.id,
        completion=texts[0] if is_one else texts,
        has_response=labelled.exchange.response is not None,
        finish_reason=finish_reason_of(reasons),
        finish_reasons=None if is_one else reasons,
        logprobs=logprobs if any(logprobs) else None,
        stopped_by=stopped_by if any(stopped_by) else None,
        usage=total_usage(completions),
        tokens=None if is_one else tuple(one.usage.completion_tokens for one in completions),
        rendered_sha256=rendered_sha256(labelled, judge.guard),
        flags=prepared.flags,
        guard=judge.reference,
        engine=judge.engine_reference,
    )
