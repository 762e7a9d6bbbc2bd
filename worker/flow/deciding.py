"""Deciding: what a policy makes of each verdict, and what a shadow policy would make of it."""

from collections.abc import Callable
from typing import NamedTuple

from worker.domain.decisions import Decision
from worker.domain.ports import Clock
from worker.domain.verdicts import Verdict
from worker.policy.judged import judged
from worker.policy.policy import Policy
from worker.telemetry import Telemetry

# the policy that is in use now: it can change at any time
PolicyInUse = Callable[[], Policy]


class Decided(NamedTuple):
    """The decisions on one verdict, each None where no such policy is there.

    Attributes:
        acting: what is published.
        shadow: what is only counted.
    """

    acting: Decision | None = None
    shadow: Decision | None = None


_UNDECIDED = Decided()


class Deciding:
    """Decides on verdicts; no rule can fail a record.

    Args:
        acting: the policy that decides; without one, there are no decisions.
        shadow: a policy that is tried: its decisions are counted and compared.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        clock: Clock,
        acting: PolicyInUse | None = None,
        shadow: PolicyInUse | None = None,
    ) -> None:
        self._counting = telemetry.decisions
        self._clock = clock
        self._acting = acting
        self._shadow = shadow

    def decide(self, verdict: Verdict) -> Decided:
        """The decisions on a verdict."""
        if self._acting is None and self._shadow is None:
            return _UNDECIDED
        seen, now = judged(verdict), self._clock.now()
        return Decided(
            self._acting().decide(seen, now) if self._acting else None,
            self._shadow().decide(seen, now) if self._shadow else None,
        )

    def without_verdict(self) -> str | None:
        """The action for an event that has no verdict."""
        return self._acting().dead_letter if self._acting else None

    def count(self, decided: Decided) -> None:
        """Count decisions whose verdict goes out."""
        acting, shadow = decided
        if acting is not None:
            self._counting.decided("acting", acting)
        if shadow is not None:
            self._counting.decided("shadow", shadow)
        if acting is not None and shadow is not None and acting.action != shadow.action:
            self._counting.differ(acting, shadow)
