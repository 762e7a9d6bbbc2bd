"""What a run found, for a person and for programs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tests.chaos.faults import Fault
from tests.chaos.oracle import Guarantee, Violation

# always shown, because their absence is the point
_PROMISES = ("lost", "duplicated", "out of order", "wrongly judged")
_MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Incident:
    """A violation, and the fault that came just before."""

    violation: Violation
    fault: Fault | None

    def __str__(self) -> str:
        told = f"{self.violation.kind}: {self.violation.what}"
        if self.fault is None:
            return f"{told}; no fault came before"
        seconds = self.violation.at - self.fault.at
        return f"{told}; {seconds:.1f} s after {self.fault.kind} ({self.fault.target})"


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a run.

    Attributes:
        outcomes: how many of each kind, repetitions included.
        redelivered: outcomes that repeat another; at_least_once may have some.
        notes: what is worth knowing and breaks no promise.
    """

    guarantee: Guarantee
    seed: int
    seconds: float
    settling_seconds: float
    records: Counter[str]
    outcomes: Counter[str]
    redelivered: int
    faults: Sequence[Fault]
    incidents: Sequence[Incident]
    notes: Sequence[str] = ()

    @property
    def passed(self) -> bool:
        """Whether every promise was kept."""
        return not self.incidents

    def counts(self) -> Counter[str]:
        """How many violations of each kind."""
        return Counter(incident.violation.kind for incident in self.incidents)

    def to_json(self) -> dict:
        """The report as plain values."""
        return {
            "guarantee": self.guarantee,
            "seed": self.seed,
            "seconds": self.seconds,
            "settling_seconds": self.settling_seconds,
            "records": dict(self.records),
            "outcomes": dict(self.outcomes),
            "redelivered": self.redelivered,
            "faults": [asdict(fault) for fault in self.faults],
            "incidents": [
                asdict(incident) | {"told": str(incident)} for incident in self.incidents
            ],
            "notes": list(self.notes),
            "passed": self.passed,
            "faults_by_kind": dict(Counter(fault.kind for fault in self.faults)),
            "violations": {kind: self.counts()[kind] for kind in (*_PROMISES, *self.counts())},
        }

    def __str__(self) -> str:
        counts = self.counts()
        kinds = list(dict.fromkeys([*_PROMISES, *counts]))
        told = f"{self.seconds:.0f} s of faults, all judged {self.settling_seconds:.0f} s later"
        lines = [
            f"{self.guarantee}, seed {self.seed}: {told}",
            f"  records   {told_counts(self.records)}",
            f"  outcomes  {told_counts(self.outcomes)}; {self.redelivered} of them repeat another",
            f"  faults    {told_counts(Counter(fault.kind for fault in self.faults))}",
            f"  result    {', '.join(f'{counts[kind]} {kind}' for kind in kinds)}",
            *(f"  note      {note}" for note in self.notes),
            *(f"  VIOLATION {incident}" for incident in self.incidents[:_MOST_SHOWN]),
        ]
        if len(self.incidents) > _MOST_SHOWN:
            lines.append(f"  … and {len(self.incidents) - _MOST_SHOWN} more")
        return "\n".join(lines)


def told_counts(counts: Counter[str]) -> str:
    """The total, and how many of each."""
    parts = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    return f"{counts.total()}" + (f" ({parts})" if parts else "")
