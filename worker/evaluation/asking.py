"""A completion by the engine for each labelled event, many at a time."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from worker.domain.errors import RecordError
from worker.domain.guard import Guard
from worker.domain.records import Partition, Record
from worker.evaluation.answers import (
    Answer,
    StoredCompletion,
    read_answer,
    rendered_sha256,
    unjudged,
)
from worker.evaluation.keeping import CompletionsFile
from worker.evaluation.labelled import LabelledEvent
from worker.flow.judge import Judge

Completed = StoredCompletion | RecordError


async def ask(
    judge: Judge,
    guard: Guard,
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
        found = ((event.id, kept.stored.answer(event, guard)) for event in events)
        answers = {name: answer for name, answer in found if answer.status != "unjudged"}
    progress(len(answers))
    missing = [event for event in events if event.id not in answers]
    async with aclosing(_complete(judge, guard, missing, limit=limit, now=now)) as completions:
        async for event, completed in completions:
            if isinstance(completed, RecordError):
                answers[event.id] = unjudged(str(completed))
            else:
                if kept is not None:
                    kept.append(completed)
                answers[event.id] = read_answer(event, guard, completed)
            progress(len(answers))
    return answers


async def _complete(
    judge: Judge,
    guard: Guard,
    events: Sequence[LabelledEvent],
    *,
    limit: int,
    now: Callable[[], float],
) -> AsyncGenerator[tuple[LabelledEvent, Completed], None]:
    """Completions as they arrive, or why there is none, prepared as in the worker."""
    waiting = iter(enumerate(events))
    done: set[asyncio.Task[tuple[LabelledEvent, Completed]]] = set()
    running: set[asyncio.Task[tuple[LabelledEvent, Completed]]] = set()
    try:
        while True:
            while len(running) < limit and (numbered := next(waiting, None)) is not None:
                running.add(asyncio.create_task(_complete_one(judge, guard, *numbered, now())))
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                yield task.result()
    finally:
        for task in running:
            task.cancel()
        # of several failures one is raised; the others are retrieved here
        await asyncio.gather(*running, *done, return_exceptions=True)


async def _complete_one(
    judge: Judge, guard: Guard, number: int, labelled: LabelledEvent, now: float
) -> tuple[LabelledEvent, Completed]:
    record = Record(
        Partition("evaluate", 0), 0, number, None, labelled.value, (), int(now * 1000), now
    )
    case = (await judge.prepare([record]))[0]
    if isinstance(case, RecordError):
        return labelled, case
    try:
        completion = await judge.complete(case)
    except RecordError as error:
        return labelled, error
    return labelled, StoredCompletion(
        id=labelled.id,
        completion=completion.text,
        has_response=labelled.exchange.response is not None,
        finish_reason=completion.finish_reason,
        usage=completion.usage,
        rendered_sha256=rendered_sha256(labelled, guard),
        flags=case.flags,
        guard=judge.reference,
        engine=judge.engine_reference,
    )
