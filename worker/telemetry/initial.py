"""Series that exist from the start, so that a first failure is a rise that `rate` reports."""

from worker.domain.batches import CloseReason
from worker.domain.errors import RecordError
from worker.domain.events import Skip
from worker.telemetry import names
from worker.telemetry.instruments import Instruments


def start_at_zero(instruments: Instruments) -> None:
    """Create the series whose label values are known."""
    for status in ("complete", "inconclusive"):
        instruments.counter(names.JUDGEMENTS, status)
    for kind in ("verdict", "dead_letter", "tombstone", "skipped"):
        instruments.counter(names.OUTCOMES, kind)
    for skip in Skip:
        instruments.counter(names.SKIPPED, skip.value)
    for change in ("assigned", "revoked", "lost"):
        instruments.counter(names.REBALANCES, change)
    for operation in ("commit", "transaction", "publish"):
        instruments.histogram(names.OPERATION_DURATION, operation, "")
    for error in RecordError.__subclasses__():
        instruments.counter(names.DEAD_LETTERS, error.stage, error.__name__)
    for reason in CloseReason:
        instruments.histogram(names.BATCH_SIZE, reason.value)
