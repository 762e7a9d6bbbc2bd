"""Finds the prompt that kills the engine, among all that were in flight when it died.

Pure: decides which prompts may be in flight together. A prompt that was in flight at two deaths is
sent with at most `_GROUP` others like it, so that even with hundreds of suspects the other prompts
do not wait long. After three deaths it is sent alone, and if the engine dies again, that prompt is
the cause.
"""

import asyncio
from collections import Counter
from enum import IntEnum

_GROUP = 16


class Isolation(IntEnum):
    """Which prompts may be in flight together; more suspect ones take precedence."""

    OPEN = 0
    GROUP = 1
    ALONE = 2


_LIMITS = {Isolation.GROUP: _GROUP, Isolation.ALONE: 1}


def isolation_after(deaths: int) -> Isolation:
    """The isolation of a prompt that was in flight at this many deaths."""
    if deaths < 2:
        return Isolation.OPEN
    return Isolation.GROUP if deaths == 2 else Isolation.ALONE


class PoisonPrompts:
    """Admits prompts to the engine, each only together with prompts of the same isolation."""

    def __init__(self) -> None:
        self._inside: Counter[Isolation] = Counter()
        self._waiting: Counter[Isolation] = Counter()
        self._suspects = 0  # inside or waiting
        self._changed = asyncio.Event()

    async def enter(self, isolation: Isolation) -> None:
        """Wait until prompts of this isolation may use the engine; call `leave` afterwards."""
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
        if isolation is Isolation.OPEN:  # the fast path of most prompts
            return not self._suspects
        others_inside = any(self._inside[other] for other in Isolation if other != isolation)
        more_suspect_waiting = any(self._waiting[other] for other in Isolation if other > isolation)
        limit = _LIMITS.get(isolation)
        full = limit is not None and self._inside[isolation] >= limit
        return not (others_inside or more_suspect_waiting or full)

    def _notify(self) -> None:
        if any(self._waiting.values()):
            self._changed.set()
            self._changed = asyncio.Event()
