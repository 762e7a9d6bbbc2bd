"""What an engine does in a time, and what a partition holds: the model's small parts."""

from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Engine:
    """An engine that batches continuously.

    A step takes longer with more prompts: `idle_share` is a step's time without any, of what it
    takes beyond that with all places taken.
    """

    places: int = 256
    idle_share: float = 0.15

    def speed(self, prompts: float) -> float:
        """GPU-seconds of work done in a second; 1 with all places taken."""
        taken = min(prompts / self.places, 1.0)
        return (1 + self.idle_share) * taken / (self.idle_share + taken)

    def prompts_at(self, speed: float) -> float:
        """How many prompts it takes for a speed."""
        return self.places * self.idle_share * speed / (1 + self.idle_share - speed)


@dataclass(slots=True)
class Cohort:
    """Records that arrived together and cost the same."""

    arrived_at: float
    records: float
    cost: float


@dataclass(slots=True)
class PartitionQueue:
    """The records of a partition without an outcome, oldest first."""

    cohorts: deque[Cohort] = field(default_factory=deque)
    records: float = 0.0

    def put(self, cohort: Cohort) -> None:
        """Append."""
        self.cohorts.append(cohort)
        self.records += cohort.records

    def work(self, gpu_seconds: float, most_records: float) -> list[Cohort]:
        """Spend so much work on the oldest; what is done leaves."""
        done = []
        while self.cohorts and gpu_seconds > 0 and most_records > 0:
            oldest = self.cohorts[0]
            records = min(oldest.records, gpu_seconds / oldest.cost, most_records)
            done.append(Cohort(oldest.arrived_at, records, oldest.cost))
            gpu_seconds -= records * oldest.cost
            most_records -= records
            self.records -= records
            if records >= oldest.records:
                self.cohorts.popleft()
            else:
                oldest.records -= records
        if not self.cohorts:
            self.records = 0.0
        return done


def shares(places: float, wanted: list[float]) -> list[float]:
    """Slots assigned in turn (max-min fair): none gets more than it wants."""
    given = [0.0] * len(wanted)
    open_ones = sorted(range(len(wanted)), key=wanted.__getitem__)
    for left, index in zip(range(len(open_ones), 0, -1), open_ones, strict=True):
        given[index] = min(wanted[index], places / left)
        places -= given[index]
    return given
