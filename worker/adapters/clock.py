"""The clock on the wall."""

import asyncio
import time


class SystemClock:
    """Real time; implements `worker.domain.ports.Clock`."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
