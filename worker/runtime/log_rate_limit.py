"""Rate limit of repeated messages."""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class _Message:
    times: deque[float]
    suppressed: int = 0


class LogRateLimit:
    """Admits each message a number of times per interval, and counts the suppressed ones.

    Args:
        most: admissions of the same message within `interval_seconds`.
        remembered: the number of different messages; the least recent one is dropped with its
            count, so that untrusted text in a key cannot fill the memory.
        monotonic: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        *,
        most: int,
        interval_seconds: float,
        monotonic: Callable[[], float],
        remembered: int = 512,
    ) -> None:
        self._most = most
        self._interval_seconds = interval_seconds
        self._monotonic = monotonic
        self._remembered = remembered
        self._messages: OrderedDict[int, _Message] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._messages)

    def admit(self, key: int) -> int | None:
        """The number suppressed since the last admission; None if this one is suppressed too."""
        now = self._monotonic()
        with self._lock:
            message = self._messages.setdefault(key, _Message(deque(maxlen=self._most)))
            self._messages.move_to_end(key)
            if len(self._messages) > self._remembered:
                self._messages.popitem(last=False)
            if len(message.times) == self._most and now - message.times[0] < self._interval_seconds:
                message.suppressed += 1
                return None
            message.times.append(now)
            suppressed, message.suppressed = message.suppressed, 0
            return suppressed
