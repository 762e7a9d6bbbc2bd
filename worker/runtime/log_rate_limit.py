"""Holding back what is said again and again."""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class _Said:
    times: deque[float]
    held_back: int = 0


class LogRateLimit:
    """Lets the same thing pass so many times in any interval, and counts the rest.

    Args:
        most: times within `interval_seconds`.
        remembered: different things; beyond it the one that was silent longest is forgotten, with
            its count, so that foreign text in a key cannot fill the memory.
        monotonic: seconds that never go back.
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
        self._said: OrderedDict[int, _Said] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._said)

    def admit(self, key: int) -> int | None:
        """How many were held back since the last that passed; None holds this one back too."""
        now = self._monotonic()
        with self._lock:
            said = self._said.setdefault(key, _Said(deque(maxlen=self._most)))
            self._said.move_to_end(key)
            if len(self._said) > self._remembered:
                self._said.popitem(last=False)
            if len(said.times) == self._most and now - said.times[0] < self._interval_seconds:
                said.held_back += 1
                return None
            said.times.append(now)
            held_back, said.held_back = said.held_back, 0
            return held_back
