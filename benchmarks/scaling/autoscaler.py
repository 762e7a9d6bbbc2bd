"""How many replicas Kubernetes wants, by its own rules.

They are those of the HorizontalPodAutoscaler that KEDA makes of a ScaledObject, as
https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/ tells them and, where it
is silent on rounding, as the controller does it (kubernetes/kubernetes,
pkg/controller/podautoscaler/horizontal.go and replica_calculator.go).
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Policy:
    """How far replicas may change within a period."""

    kind: Literal["Pods", "Percent"]
    value: int
    period_seconds: float


@dataclass(frozen=True, slots=True)
class Rules:
    """How replicas change in one direction.

    Attributes:
        window_seconds: `stabilizationWindowSeconds`: the most cautious wish of this time counts.
        select: which policy counts where several allow different things.
    """

    window_seconds: float
    policies: tuple[Policy, ...]
    select: Literal["Max", "Min", "Disabled"] = "Max"


# the defaults of Kubernetes
UP = Rules(0.0, (Policy("Percent", 100, 15.0), Policy("Pods", 4, 15.0)))
DOWN = Rules(300.0, (Policy("Percent", 100, 15.0),))


@dataclass(frozen=True, slots=True)
class Target:
    """A metric over all replicas and how much of it one replica may have (`AverageValue`)."""

    metric: float
    per_replica: float


def wish(targets: Sequence[Target], replicas: int, tolerance: float = 0.1) -> int:
    """The replicas that the metrics ask for: of several metrics, the one that asks for most."""

    def of_one(target: Target) -> int:
        ratio = target.metric / (target.per_replica * replicas)
        if abs(1.0 - ratio) <= tolerance:
            return replicas
        return math.ceil(target.metric / target.per_replica)

    return max(of_one(target) for target in targets)


def kafka_lag(lag: float, threshold: float, partitions: int) -> Target:
    """The value of KEDA's `kafka` trigger: at most one replica per partition."""
    return Target(min(lag, partitions * threshold), threshold)


class Autoscaler:
    """Turns wishes into replicas, with a memory of both.

    Args:
        most: no more than partitions, or some replicas idle.
    """

    def __init__(self, least: int, most: int, up: Rules = UP, down: Rules = DOWN) -> None:
        self._least = least
        self._most = most
        self._up = up
        self._down = down
        self._wishes: deque[tuple[float, int]] = deque()
        self._changes: deque[tuple[float, int]] = deque()

    def decide(self, now: float, replicas: int, wished: int) -> int:
        """The replicas from now on."""
        stable = self._stabilise(now, replicas, wished)
        if stable > replicas:
            allowed = max(self._limit(now, replicas, self._up), replicas)
            decided = min(stable, allowed)
        elif stable < replicas:
            allowed = min(self._limit(now, replicas, self._down), replicas)
            decided = max(stable, allowed)
        else:
            decided = replicas
        decided = min(max(decided, self._least), self._most)
        if decided != replicas:
            self._changes.append((now, decided - replicas))
        return decided

    def _stabilise(self, now: float, replicas: int, wished: int) -> int:
        """Up to the least, down to the most that was wished within the windows."""
        self._wishes.append((now, wished))
        while self._wishes[0][0] < now - max(self._up.window_seconds, self._down.window_seconds):
            self._wishes.popleft()

        def within(rules: Rules) -> list[int]:
            return [n for at, n in self._wishes if at > now - rules.window_seconds] or [wished]

        return min(max(replicas, min(within(self._up))), max(within(self._down)))

    def _limit(self, now: float, replicas: int, rules: Rules) -> int:
        """How far the policies let replicas change."""
        upwards = rules is self._up
        if rules.select == "Disabled":
            return replicas
        widest: Callable[[Sequence[int]], int] = max if upwards else min
        narrowest: Callable[[Sequence[int]], int] = min if upwards else max
        limits = [
            self._allowed(now, replicas, policy, upwards=upwards) for policy in rules.policies
        ]
        return (widest if rules.select == "Max" else narrowest)(limits)

    def _allowed(self, now: float, replicas: int, policy: Policy, *, upwards: bool) -> int:
        changed = sum(by for at, by in self._changes if at > now - policy.period_seconds)
        before = replicas - changed
        sign = 1 if upwards else -1
        if policy.kind == "Pods":
            return before + sign * policy.value
        share = before * (1 + sign * policy.value / 100)
        # as the controller rounds: up when growing, and downwards to fewer replicas
        return math.ceil(share) if upwards else int(share)
