"""Finds the prompt that kills the engine, among all that were at it when it died.

Pure bookkeeping of who may be at the engine together. A prompt that saw two deaths goes there with
a few others of its kind and nobody else, so that with hundreds of suspects not everybody waits for
long; one that saw three goes alone, and if the engine dies again, it was that prompt.
"""

import asyncio
from collections import Counter
from enum import IntEnum

_GROUP = 16


class Ward(IntEnum):
    """Who is at the engine together; whoever is more suspect goes first."""

    OPEN = 0
    GROUP = 1
    ALONE = 2


_ROOM = {Ward.GROUP: _GROUP, Ward.ALONE: 1}


def ward_after(deaths: int) -> Ward:
    """Where a prompt belongs that saw so many deaths."""
    if deaths < 2:
        return Ward.OPEN
    return Ward.GROUP if deaths == 2 else Ward.ALONE


class Quarantine:
    """Lets prompts to the engine, each with those of its own ward only."""

    def __init__(self) -> None:
        self._inside: Counter[Ward] = Counter()
        self._waiting: Counter[Ward] = Counter()
        self._suspects = 0  # inside or waiting
        self._changed = asyncio.Event()

    async def enter(self, ward: Ward) -> None:
        """Return when the ward has the engine; to be followed by `leave`."""
        if not self._may_enter(ward):
            await self._wait(ward)
        self._inside[ward] += 1
        self._suspects += ward is not Ward.OPEN

    def leave(self, ward: Ward) -> None:
        """Be done with the engine."""
        self._inside[ward] -= 1
        self._suspects -= ward is not Ward.OPEN
        self._tell()

    async def _wait(self, ward: Ward) -> None:
        self._waiting[ward] += 1
        self._suspects += ward is not Ward.OPEN
        try:
            while not self._may_enter(ward):
                await self._changed.wait()
        finally:
            self._waiting[ward] -= 1
            self._suspects -= ward is not Ward.OPEN
            self._tell()

    def _may_enter(self, ward: Ward) -> bool:
        if ward is Ward.OPEN:  # each record comes this way
            return not self._suspects
        others_inside = any(self._inside[other] for other in Ward if other != ward)
        more_suspect_waiting = any(self._waiting[other] for other in Ward if other > ward)
        room = _ROOM.get(ward)
        full = room is not None and self._inside[ward] >= room
        return not (others_inside or more_suspect_waiting or full)

    def _tell(self) -> None:
        if any(self._waiting.values()):
            self._changed.set()
            self._changed = asyncio.Event()
