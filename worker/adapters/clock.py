"""The clock of the system."""

import asyncio
import time

from typing_extensions import override

from worker.domain.ports import Clock


class SystemClock(Clock):
    """Real time."""

    @override
    def now(self) -> float:
        return time.time()

    @override
    def monotonic(self) -> float:
        return time.monotonic()

    @override
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
