"""A completion in progress: its span and its duration."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from opentelemetry.trace import INVALID_SPAN, Span

from worker.domain.engines import Completion
from worker.domain.ports import Clock
from worker.telemetry.tracing import carrier

Ended = Callable[[float, Completion | None, BaseException | None, Span], None]


class Chat:
    """A context for one completion; a class, since a generator costs more for each record.

    Args:
        span: of the completion, if one is recorded.
        ended: is called with the seconds, the completion or the error, and the span.

    Attributes:
        context: to be passed to the engine, so that its spans join the trace.
        completion: to be set inside the context.
    """

    __slots__ = ("_began", "_clock", "_ended", "_entered", "_span", "completion", "context")

    def __init__(
        self, clock: Clock, span: AbstractContextManager[Span] | None, ended: Ended
    ) -> None:
        self._clock = clock
        self._span = span
        self._ended = ended
        self._began = 0.0
        self._entered: Span = INVALID_SPAN
        self.context: Mapping[str, str] = {}
        self.completion: Completion | None = None

    def __enter__(self) -> Self:
        self._began = self._clock.monotonic()
        if self._span is not None:
            self._entered = self._span.__enter__()
            self.context = carrier(self._entered)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        seconds = self._clock.monotonic() - self._began
        self._ended(seconds, self.completion, error, self._entered)
        if self._span is not None:
            self._span.__exit__(kind, error, traceback)
