"""Waits for brokers that cannot be reached when a worker starts."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from worker.domain.errors import BusUnreachable
from worker.domain.ports import Clock

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 2.0
_LOG_EVERY_SECONDS = 30.0


async def wait_for_brokers(
    ask: Callable[[], Coroutine[Any, Any, object]],
    *,
    stopping: asyncio.Event,
    timeout_seconds: float | None,
    report: Callable[[str | None], None],
    clock: Clock,
) -> bool:
    """Wait until a broker answers; False if `stopping` was set first.

    Args:
        ask: sends one request to the brokers.
        stopping: ends the wait immediately.
        timeout_seconds: the longest wait; None for no limit.
        report: called with the reason for waiting, and with None after the wait.
        clock: time.

    Raises:
        BusUnreachable: none answered in time.
        BusUnavailable: a broker refused access.
    """
    began = clock.monotonic()
    logged_at: float | None = None
    try:
        while not stopping.is_set():
            try:
                if await _unless(stopping, ask()):
                    break
            except BusUnreachable as error:
                now = clock.monotonic()
                if timeout_seconds is not None and now - began >= timeout_seconds:
                    raise
                report(str(error))
                if logged_at is None or now - logged_at >= _LOG_EVERY_SECONDS:
                    logged_at = now
                    logger.warning("Waiting for Kafka, for %.0f s so far. %s", now - began, error)
                await _unless(stopping, clock.sleep(_RETRY_SECONDS))
    finally:
        report(None)
    if logged_at is not None and not stopping.is_set():
        logger.info("Kafka answers, after %.0f s.", clock.monotonic() - began)
    return not stopping.is_set()


async def _unless(stopping: asyncio.Event, work: Awaitable[object]) -> bool:
    """Do the work unless `stopping` is set first; returns whether it was done."""
    doing = asyncio.ensure_future(work)
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait([doing, stop], return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            await doing
            return True
        return False
    finally:
        for task in (doing, stop):
            task.cancel()
        await asyncio.gather(doing, stop, return_exceptions=True)
