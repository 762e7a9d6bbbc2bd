"""Finds the prompt that kills the engine, among all that were at it when it died.

Pure bookkeeping of which prompts may be at the engine together. A prompt that saw two deaths goes
there with a few others of its kind only, so that with hundreds of suspects the rest does not wait
for long; one that saw three goes alone, and if the engine dies again, it was that prompt.
"""

import asyncio
from collections import Counter
from enum import IntEnum

_GROUP = 16


class Isolation(IntEnum):
    """Which prompts are at the engine together; the more suspect ones go first."""

    OPEN = 0
    GROUP = 1
    ALONE = 2


_ROOM = {Isolation.GROUP: _GROUP, Isolation.ALONE: 1}


def isolation_after(deaths: int) -> Isolation:
    """The isolation of a prompt that saw this many deaths."""
    if deaths < 2:
        return Isolation.OPEN
    return Isolation.GROUP if deaths == 2 else Isolation.ALONE


class PoisonPrompts:
    """Admits prompts to the engine, each with those of its own isolation only."""

    def __init__(self) -> None:
        self._inside: Counter[Isolation] = Counter()
        self._waiting: Counter[Isolation] = Counter()
        self._suspects = 0  # inside or waiting
        self._changed = asyncio.Event()

    async def enter(self, isolation: Isolation) -> None:
        """Return when the isolation has the engine; to be followed by `leave`."""
        if not self._may_enter(isolation):
            await self._wait(isolation)
        self._inside[isolation] += 1
        self._suspects += isolation is not Isolation.OPEN

    def leave(self, isolation: Isolation) -> None:
        """The prompt no longer uses the engine."""
        self._inside[isolation] -= 1
        self._suspects -= isolation is not Isolation.OPEN
        self._notify()

    async def _wait(self, isolation: Isolation) -> None:
        self._waiting[isolation] += 1
        self._suspects += isolation is not Isolation.OPEN
        try:
            while not self._may_enter(isolation):
                await self._changed.wait()
        finally:
            self._waiting[isolation] -= 1
            self._suspects -= isolation is not Isolation.OPEN
            self._notify()

    def _may_enter(self, isolation: Isolation) -> bool:
        if isolation is Isolation.OPEN:  # each record comes this way
            return not self._suspects
        others_inside = any(self._inside[other] for other in Isolation if other != isolation)
        more_suspect_waiting = any(self._waiting[other] for other in Isolation if other > isolation)
        room = _ROOM.get(isolation)
        full = room is not None and self._inside[isolation] >= room
        return not (others_inside or more_suspect_waiting or full)

    def _notify(self) -> None:
        if any(self._waiting.values()):
            self._changed.set()
            self._changed = asyncio.Event()
