"""The state of a partition, as its gauges show it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PartitionState:
    """The state of a partition that this worker holds.

    Attributes:
        lag: records between the committed offset and the end that consumers can read.
        unsettled: records received and not committed.
        epoch: of its assignment.
        unstable: records past that end, behind a producer transaction that is still open.
    """

    lag: int
    unsettled: int
    epoch: int
    unstable: int = 0
