"""Workers that hold up too much or judge too much, to prove that the unit tests would see it.

Each function breaks one thing in its own process; `tests/tools/test_mutants_delivery.py` shows that
a worker broken like that violates what tests/unit/test_publishing.py and test_admission.py assert.
"""

from worker.delivery.at_least_once import AtLeastOnce
from worker.delivery.exactly_once import ExactlyOnce
from worker.delivery.publishing import Publishing


def refused_record_blocks_everybody(patch) -> None:
    """What was not acknowledged goes back to the flow that all partitions share."""

    def put_back(self, topic, outcome, failure) -> None:
        self._flows[topic].appendleft(outcome)
        self._troubles[topic] = str(failure)

    patch.setattr(Publishing, "_set_apart", put_back)


def slot_back_before_the_outbox(patch) -> None:
    """A slot is free once the engine has answered, whether or not the outbox has a place."""
    for delivery in (AtLeastOnce, ExactlyOnce):
        patch.setattr(delivery, "unwritten", lambda _: {})
