"""The load of a day: how many events come, and what they cost, by the script."""

import math
import random
from dataclasses import dataclass

DAY_SECONDS = 86_400.0
_HOUR = 3600.0
_NOISE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Script:
    """A day that people make, and a jump of load in the evening.

    Attributes:
        quiet: events a second in the small hours; `busy` in the afternoon.
        short_cost: GPU-seconds of a short exchange; `long_cost` of a long one.
        long_at_day: share of long ones in the afternoon; `long_at_night` in the small hours.
        jump_from: hour at which the load is `jump_times` what it would be, for `jump_hours`.
        noise: how far the rate wanders from minute to minute, as a standard deviation.
        skew: how unequal partitions are, likewise.
    """

    quiet: float = 60.0
    busy: float = 200.0
    short_cost: float = 0.02
    long_cost: float = 0.09
    long_at_day: float = 0.1
    long_at_night: float = 0.5
    jump_from: float = 20.0
    jump_hours: float = 0.5
    jump_times: float = 2.0
    noise: float = 0.08
    skew: float = 0.1

    def daylight(self, at: float) -> float:
        """0 at two in the night, 1 at two in the afternoon."""
        return (1 - math.cos(2 * math.pi * (at / _HOUR - 2) / 24)) / 2

    def rate(self, at: float) -> float:
        """Events a second, without noise."""
        rate = self.quiet + (self.busy - self.quiet) * self.daylight(at)
        jumps = self.jump_from <= at / _HOUR < self.jump_from + self.jump_hours
        return rate * self.jump_times if jumps else rate

    def long_share(self, at: float) -> float:
        """Share of long exchanges."""
        return self.long_at_night + (self.long_at_day - self.long_at_night) * self.daylight(at)

    def cost(self, at: float) -> float:
        """GPU-seconds of the mean record."""
        long = self.long_share(at)
        return long * self.long_cost + (1 - long) * self.short_cost

    @property
    def peak_gpus(self) -> float:
        """GPU-seconds a second, at most."""
        return max(self.rate(at) * self.cost(at) for at in map(float, range(0, 86_400, 60)))


class Arrivals:
    """The script with its chance: which partitions get more, and how the rate wanders."""

    def __init__(self, script: Script, partitions: int, seed: int) -> None:
        self._script = script
        self._random = random.Random(seed)
        weights = [self._random.lognormvariate(0.0, script.skew) for _ in range(partitions)]
        self._weights = [weight / sum(weights) for weight in weights]
        self._noise = 1.0
        self._noise_until = -math.inf

    def within(self, at: float, seconds: float) -> list[tuple[float, float]]:
        """Of each partition: how many records came, and what one of them costs."""
        if at >= self._noise_until:
            self._noise = self._random.lognormvariate(0.0, self._script.noise)
            self._noise_until = at + _NOISE_SECONDS
        records = self._script.rate(at) * self._noise * seconds
        cost = self._script.cost(at)
        return [(records * weight, cost) for weight in self._weights]
