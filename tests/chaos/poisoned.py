"""Workers that a prompt can kill: `python -m tests.chaos.poisoned run` is `python -m worker run`.

A prompt that holds one of `MARKERS` does to the process what a bug would do, each time it is
judged. Every other prompt is judged as usual.
"""

import os
import re
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

from tests.chaos.alone import watch
from worker.adapters.simulated import SimulatedEngine
from worker.adapters.vllm.tokenizer import JsonTokenizer
from worker.domain.errors import EngineDead
from worker.guards.guardreasoner.guard import GuardReasoner

KILLS_ENGINE = "kills the engine"
FREEZES_LOOP = "freezes the loop"
KILLS_PROCESS = "kills the process"
MARKERS: Mapping[str, str] = {
    KILLS_ENGINE: "chaos-poison-engine",
    FREEZES_LOOP: "chaos-poison-loop",
    KILLS_PROCESS: "chaos-poison-process",
}
# variables that begin with GUARDSTREAM_TEST_ are no settings
LOG_VARIABLE = "GUARDSTREAM_TEST_POISON_LOG"
_MARKED = re.compile("(" + "|".join(MARKERS.values()) + r") (\d{1,18})\b")
_KINDS = {marker: kind for kind, marker in MARKERS.items()}
_FREEZE_SECONDS = 1e6


def poisonous_prompt(kind: str, number: int) -> str:
    """The text of a prompt that does harm."""
    return f"Which bread is {MARKERS[kind]} {number} ?"


def poison() -> None:
    """Patch this process: from here on, marked prompts do harm in it."""
    doomed: dict[tuple[int, ...], tuple[str, int]] = {}
    judge, encode, complete = GuardReasoner.judge, JsonTokenizer.encode, SimulatedEngine.complete

    def judge_or_freeze(self, exchange):
        found = _read(exchange.prompt)
        if found is not None and found[0] == FREEZES_LOOP:
            _note(*found)
            time.sleep(_FREEZE_SECONDS)
        return judge(self, exchange)

    async def encode_and_remember(self, prompts, *more, **options):
        encoded = await encode(self, prompts, *more, **options)
        for prompt, ids in zip(prompts, encoded, strict=True):
            if ids is not None and (found := _read(prompt.text)) is not None:
                doomed[tuple(ids)] = found
        return encoded

    async def complete_or_die(self, request, prompt_token_ids, **options):
        found = doomed.get(tuple(prompt_token_ids))
        if found is not None:
            _note(*found)
            if found[0] == KILLS_PROCESS:
                os.kill(os.getpid(), signal.SIGKILL)
            self._dead = True
            raise EngineDead("The engine died of a marked prompt.")
        return await complete(self, request, prompt_token_ids, **options)

    GuardReasoner.judge = judge_or_freeze
    JsonTokenizer.encode = encode_and_remember
    SimulatedEngine.complete = complete_or_die


class PoisonLog:
    """What the workers of a run wrote down before they died."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def deaths(self) -> dict[str, Counter[int]]:
        """By kind: how often each record, named by its number, did harm."""
        deaths: dict[str, Counter[int]] = defaultdict(Counter)
        for kind, number, _ in self._lines():
            deaths[kind][number] += 1
        return dict(deaths)

    def ended(self, pid: int) -> bool:
        """Whether a poison record ended this process, or froze it until it was killed."""
        return any(theirs == pid and kind != KILLS_ENGINE for kind, _, theirs in self._lines())

    def pids(self) -> set[int]:
        """The processes in which a poison record did harm."""
        return {pid for _, _, pid in self._lines()}

    def _lines(self) -> list[tuple[str, int, int]]:
        if not self.path.exists():
            return []
        rows = (line.split("\t") for line in self.path.read_text().splitlines())
        return [(kind, int(number), int(pid)) for kind, number, pid in rows]


def _read(text: str) -> tuple[str, int] | None:
    # a cheap look first: the guard's own prompts hold no such word
    found = _MARKED.search(text) if "chaos-poison" in text else None
    return None if found is None else (_KINDS[found[1]], int(found[2]))


def _note(kind: str, number: int) -> None:
    """Write the harm down first: the process may not be there afterwards."""
    if path := os.environ.get(LOG_VARIABLE):
        with Path(path).open("a") as log:
            log.write(f"{kind}\t{number}\t{os.getpid()}\n")


def main() -> None:
    """Patch the worker, and run it with this program's arguments."""
    from worker.cli import main as run_worker  # noqa: PLC0415 - what is patched comes first

    poison()
    watch()
    run_worker()


if __name__ == "__main__":
    main()
