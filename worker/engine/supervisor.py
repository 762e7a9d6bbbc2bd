"""Supervises an engine, and restarts it when it dies or hangs.

vLLM does not detect that its core process has stopped (a hung driver, SIGSTOP), so the supervisor
watches its progress: calls in flight without progress for too long count as a death. Callers with a
prompt in flight at a death get `EngineInterrupted`, wait for `ready` and call again. When no
restarts are left, or none are configured, all callers get `EngineDead`.
"""

import asyncio
import contextvars
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from typing_extensions import override

from worker.domain.engines import Completion, Engine, EngineReference, EngineRequest
from worker.domain.errors import EngineDead, EngineInterrupted, EngineUnavailable
from worker.domain.ports import Clock
from worker.telemetry import Telemetry, names

logger = logging.getLogger(__name__)

_CHECKS = 4  # without progress, until the engine counts as dead
_NAMED = 20  # records in a log line


@dataclass(frozen=True, slots=True)
class SupervisionPolicy:
    """When an engine counts as dead, and how often it is restarted.

    Attributes:
        stall_seconds: the time without progress, with prompts in flight, after which it counts as
            dead.
        restarts: in the same process, within `window_seconds`; 0 leaves restarts to the platform.
    """

    stall_seconds: float = 60.0
    restarts: int = 0
    window_seconds: float = 3600.0


class SupervisedEngine(Engine):
    """Supervises another engine."""

    def __init__(
        self, engine: Engine, *, policy: SupervisionPolicy, clock: Clock, telemetry: Telemetry
    ) -> None:
        self._engine = engine
        self._policy = policy
        self._clock = clock
        self._telemetry = telemetry
        self._calls: dict[asyncio.Timeout, str] = {}  # with the record of each call
        self._deaths: list[float] = []
        self._incarnation = 0
        self._restarting: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._stopped = False

    @property
    @override
    def reference(self) -> EngineReference:
        return self._engine.reference

    @property
    @override
    def max_num_seqs(self) -> int:
        return self._engine.max_num_seqs

    @property
    @override
    def max_prompt_tokens(self) -> int:
        return self._engine.max_prompt_tokens

    @property
    @override
    def flags(self) -> tuple[str, ...]:
        return self._engine.flags

    @property
    @override
    def progress(self) -> int:
        return self._engine.progress

    @property
    def trouble(self) -> str | None:
        """Why the engine takes no prompts at the moment; None if it does."""
        if self._restarting is None:
            return None
        return "The engine died." if self.is_dead else "The engine is being restarted."

    @property
    def is_dead(self) -> bool:
        """Whether the engine is dead and will not be restarted."""
        return self._restarting is not None and self._restarting.done()

    @override
    async def start(self) -> None:
        await self._engine.start()
        self._watching = asyncio.create_task(self._watch(), name="watch the engine")

    @override
    async def complete(
        self,
        request: EngineRequest,
        prompt_token_ids: Sequence[int],
        *,
        request_id: str,
        trace: Mapping[str, str],
    ) -> Completion:
        await self.ready()
        incarnation, call = self._incarnation, asyncio.timeout(None)
        about = request_id.partition("#")[0]
        try:
            async with call:
                self._calls[call] = about
                try:
                    return await self._engine.complete(
                        request, prompt_token_ids, request_id=request_id, trace=trace
                    )
                finally:
                    self._calls.pop(call, None)
        except TimeoutError:
            if not call.expired():
                raise
            raise EngineInterrupted("The engine stopped making progress.") from None
        except EngineDead as error:
            # a death can be reported late, after the engine was restarted
            if incarnation == self._incarnation:
                self._died(str(error), about)
            raise EngineInterrupted(str(error)) from error

    @override
    async def ready(self) -> None:
        if self._restarting is not None:
            # shielded: cancelling one caller must not cancel the restart for all
            await asyncio.shield(self._restarting)

    @override
    async def stop(self) -> None:
        self._stopped = True
        for task in (self._watching, self._restarting):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self._engine.stop()

    async def _watch(self) -> None:
        """Declare the engine dead when it has calls and makes no progress.

        Checks are counted, not seconds: a process that was suspended for long has checked once.
        """
        seen, idle_checks = -1, 0
        while True:
            await self._clock.sleep(self._policy.stall_seconds / _CHECKS)
            if self._engine.progress != seen or not self._calls or self.trouble:
                seen, idle_checks = self._engine.progress, 0
                continue
            idle_checks += 1
            if idle_checks == _CHECKS:
                self._died(f"The engine made no progress for {self._policy.stall_seconds:g} s.")

    def _died(self, reason: str, *about: str) -> None:
        """Record a death, interrupt all calls, and start the restart."""
        if self._stopped:
            return
        self._incarnation += 1
        logger.error("%s", reason)
        if named := [*about, *self._calls.values()]:
            more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
            logger.error("In flight at the engine: %s%s.", ", ".join(named[:_NAMED]), more)
        # in a context without a record: the restart does not belong to one
        self._restarting = asyncio.create_task(
            self._restart(reason), name="restart the engine", context=contextvars.Context()
        )
        # a failed restart is raised in all callers that wait; without any, asyncio would log it
        self._restarting.add_done_callback(lambda task: task.cancelled() or task.exception())
        calls, self._calls = self._calls, {}
        for call in calls:
            call.reschedule(asyncio.get_running_loop().time())

    async def _restart(self, reason: str) -> None:
        now = self._clock.monotonic()
        self._deaths = [at for at in self._deaths if now - at < self._policy.window_seconds]
        if len(self._deaths) >= self._policy.restarts:
            raise EngineDead(f"{reason} The worker stops without committing what was in flight.")
        self._deaths.append(now)
        logger.warning(
            "Restarting the engine (%d of %d).", len(self._deaths), self._policy.restarts
        )
        await self._engine.stop()
        try:
            await self._engine.start()
        except EngineUnavailable as error:
            raise EngineDead(f"{reason} It could not be started again: {error}") from error
        self._telemetry.add(names.ENGINE_RESTARTS, 1)
        logger.info("The engine was restarted.")
        self._restarting = None
