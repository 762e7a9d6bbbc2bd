"""Completions of a trained model, by the project's own engine, prompts and reader."""

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training.config import Config
from worker.decoding.decoder import EventDecoder
from worker.domain.engines import EngineReference
from worker.domain.verdicts import GuardReference
from worker.evaluation.answers import Answer
from worker.evaluation.asking import ask
from worker.evaluation.keeping import completions_file
from worker.evaluation.labelled import LabelledEvent
from worker.runtime.build import Judging, build_judging
from worker.runtime.settings import load_settings

_COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())


class Asked:
    """An engine with a model's folder, and what it answers.

    Args:
        rehearsal: an engine without a model, whose labels are random.
    """

    def __init__(
        self,
        config: Config,
        model: Path,
        *,
        max_tokens: int,
        temperature: float = 0.0,
        rehearsal: bool,
    ) -> None:
        # the engine's own process must not inherit what torch's threads hold
        os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
        nothing = {"time_to_first_token_seconds": 0, "time_per_output_token_seconds": 0}
        settings = load_settings(
            engine={
                "kind": "simulated" if rehearsal else "vllm",
                "model": str(model),
                "max_tokens": max_tokens,
                "extra": config.engine,
                "simulated": nothing,
            },
            guard={"prompt_form": config.prompt_form},
            # what the model wrote counts, not what it can be made to say
            judging={"repair": False},
        )
        self._judging: Judging = build_judging(
            settings, temperature=temperature, seed=config.seed, decoder=EventDecoder()
        )
        self._limit = self._judging.in_flight_limit

    @property
    def guard_reference(self) -> GuardReference:
        """Which guard answers."""
        return self._judging.judge.reference

    @property
    def engine_reference(self) -> EngineReference:
        """Which engine answered."""
        return self._judging.judge.engine_reference

    def answers(
        self, files: Sequence[tuple[str, Sequence[LabelledEvent], Path]]
    ) -> list[dict[str, Answer]]:
        """The answers to each list of events, whose completions are kept in its file.

        An interrupted call resumes from the files.

        Args:
            files: of each: what is shown of it, the events, the file.
        """
        return asyncio.run(self._answers(files))

    async def _answers(
        self, files: Sequence[tuple[str, Sequence[LabelledEvent], Path]]
    ) -> list[dict[str, Answer]]:
        found = []
        shown = Progress(*_COLUMNS, TimeRemainingColumn(), console=Console(stderr=True))
        try:
            await self._judging.start()
            with shown as progress:
                for name, events, path in files:
                    task = progress.add_task(name, total=len(events))
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with completions_file(path, self.guard_reference) as kept:
                        answers = await ask(
                            self._judging.judge,
                            events,
                            limit=self._limit,
                            now=time.time,
                            kept=kept,
                            progress=lambda done, task=task: progress.update(task, completed=done),
                        )
                    found.append(answers)
        finally:
            await self._judging.stop()
        return found
