"""Errors that say what becomes of the work they stopped.

Every error is one of three kinds: it can be tried again (`Retriable`), it belongs to one record
and ends in a dead letter (`RecordError`), or the worker cannot go on (`Fatal`). Adapters map their
library's exceptions to these at their own edge, so that nobody above knows the library.
"""

from typing import Literal

Stage = Literal["decode", "render", "judge", "publish"]
WriteFailure = Literal["passing", "too_large", "refused"]


class GuardstreamError(Exception):
    """Root of the tree. The message is one sentence for the user: what, where, what to do."""


class Retriable(GuardstreamError):  # noqa: N818 - the kind is the name
    """A passing trouble: the same call may succeed later."""


class NotWritten(Retriable):
    """A topic did not acknowledge a record.

    Attributes:
        reason: what the broker or the client reports, by its name in Kafka's protocol.
        kind: `passing` may succeed later as it is, `too_large` when it is made smaller, and
            `refused` only when somebody changes the topic or our rights.
        limit: what the topic was believed to take, for what is too large.
    """

    def __init__(
        self, topic: str, reason: str, kind: WriteFailure = "passing", limit: int | None = None
    ) -> None:
        super().__init__(f"The topic {topic} takes no record: {reason}.")
        self.topic = topic
        self.reason = reason
        self.kind: WriteFailure = kind
        self.limit = limit


class RecordError(GuardstreamError):
    """This record cannot be judged, now or later: it becomes a dead letter.

    The message goes into the dead letter's headers, so it never holds text of the event or of
    the model.
    """

    stage: Stage = "judge"
    # whether other records would fail as well: then it is better to wait than to bury them all
    is_engines: bool = False


class NotAnEvent(RecordError):  # noqa: N818
    """The record's value is not an event."""

    stage: Stage = "decode"


class NothingToJudge(RecordError):  # noqa: N818
    """The event holds no message of a user."""

    stage: Stage = "decode"


class PromptTooLong(RecordError):  # noqa: N818
    """The rendered prompt leaves the model no room for an answer."""

    stage: Stage = "render"


class InvalidRequest(RecordError):  # noqa: N818
    """The engine refuses this prompt for what it is."""


class PoisonRecord(RecordError):  # noqa: N818
    """The engine or the worker died each time it judged this record, at last with it alone."""


class JudgingTimedOut(RecordError):  # noqa: N818
    """The engine gave no answer for this prompt within the time allowed."""

    is_engines = True


class RetriesSpent(RecordError):  # noqa: N818
    """The engine failed on this prompt as often as is allowed."""

    is_engines = True


class VerdictTooLarge(RecordError):  # noqa: N818
    """The verdict exceeds what the verdict topic takes."""

    stage: Stage = "publish"


class EngineInterrupted(GuardstreamError):  # noqa: N818
    """The engine died under this prompt and is being restarted: the prompt goes to it again."""


class UnusableFile(GuardstreamError):  # noqa: N818
    """A file cannot be read or written, or holds nothing of use."""


class Fatal(GuardstreamError):  # noqa: N818
    """The worker cannot go on: it stops without settling what is unresolved."""


class EngineDead(Fatal):
    """The engine is gone; only a new process brings it back."""


class EngineUnavailable(Fatal):
    """The engine could not be started."""


class BusUnavailable(Fatal):
    """Kafka cannot be reached, or refuses us."""


class BusUnreachable(BusUnavailable):
    """No broker answers: it may come up later, so a worker that starts waits for it."""


class InstanceReplaced(Fatal):
    """Another worker has joined the group with the same `input.group_instance_id`."""


class OffsetLost(Fatal):
    """Retention has overtaken the committed offset: records are gone that were never judged."""


class WrongSetting(Fatal):
    """A setting cannot be used as it stands."""
