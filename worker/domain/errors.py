"""Errors, grouped by what the worker does about them.

An error can be retried (`Retriable`), belongs to one record and makes it a dead letter
(`RecordError`), or stops the worker (`Fatal`). Adapters translate the exceptions of their library
to these, so that no other package imports the library.

    GuardstreamError
        Retriable                the same call may succeed later
            NotWritten           a topic did not acknowledge a record
        RecordError              this record becomes a dead letter
            NotAnEvent           decode: the value is not an event
            NothingToJudge       decode: the event has no message of a user
            Redacted             decode: the messages were not logged
            PromptTooLong        render: the prompt does not fit the model
            InvalidRequest       judge: the engine refuses this prompt
            PoisonRecord         judge: the engine or the worker died of it each time
            JudgingTimedOut      judge: no answer in time (a failure of the engine)
            RetriesSpent         judge: no attempts left (a failure of the engine)
            VerdictTooLarge      publish: the verdict topic does not take the verdict
        EngineInterrupted        the engine died during this prompt and is being restarted
        UnusableFile             a file cannot be read or written, or has no usable content
        Fatal                    the worker stops; unresolved records are not committed
            EngineDead           the engine died and is not restarted in this process
            EngineUnavailable    the engine could not be started
            BusUnavailable       Kafka cannot be used: unreachable, or access denied
                BusUnreachable   no broker answers; a starting worker waits for one
            InstanceReplaced     another member joined with the same group instance id
            OffsetLost           retention deleted records before they were judged
            WrongSetting         a setting is invalid

Commands and adapters define further errors below `GuardstreamError`.
"""

from typing import Literal

Stage = Literal["decode", "render", "judge", "publish"]
WriteFailure = Literal["passing", "too_large", "refused"]


class GuardstreamError(Exception):
    """Root of the tree. The message is one sentence for the user: what, where, what to do."""


class Retriable(GuardstreamError):  # noqa: N818 - the kind is the name
    """A transient failure: the same call may succeed later."""


class NotWritten(Retriable):
    """A topic did not acknowledge a record.

    Attributes:
        reason: what the broker or the client reports, by its name in Kafka's protocol.
        kind: `passing` may succeed later unchanged, `too_large` when the record is made smaller,
            and `refused` only after a change of the topic or of the worker's access rights.
        limit: of a record that is too large, the size that the topic was believed to take.
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

    The message is written to the dead letter's headers, so it never contains text of the event or
    of the model.
    """

    stage: Stage = "judge"
    # a failure of the engine would fail other records too: the circuit breaker counts it
    is_engine_failure: bool = False


class NotAnEvent(RecordError):  # noqa: N818
    """The record's value is not an event."""

    stage: Stage = "decode"


class NothingToJudge(RecordError):  # noqa: N818
    """The event has no message of a user."""

    stage: Stage = "decode"


class Redacted(RecordError):  # noqa: N818
    """The record is of an exchange whose messages were not logged."""

    stage: Stage = "decode"


class PromptTooLong(RecordError):  # noqa: N818
    """The rendered prompt leaves no tokens for an answer."""

    stage: Stage = "render"


class InvalidRequest(RecordError):  # noqa: N818
    """The engine refuses this prompt, and would refuse it again."""


class PoisonRecord(RecordError):  # noqa: N818
    """The engine or the worker died each time it judged this record, at last judged alone."""


class JudgingTimedOut(RecordError):  # noqa: N818
    """The engine gave no answer for this prompt within the time allowed."""

    is_engine_failure = True


class RetriesSpent(RecordError):  # noqa: N818
    """The engine failed on this prompt as many times as is allowed."""

    is_engine_failure = True


class VerdictTooLarge(RecordError):  # noqa: N818
    """The verdict exceeds the largest record that the verdict topic takes."""

    stage: Stage = "publish"


class EngineInterrupted(GuardstreamError):  # noqa: N818
    """The engine died during this prompt and is being restarted: the caller sends it again."""


class UnusableFile(GuardstreamError):  # noqa: N818
    """A file cannot be read or written, or has no usable content."""


class Fatal(GuardstreamError):  # noqa: N818
    """The worker stops, without committing what is unresolved."""


class EngineDead(Fatal):
    """The engine died and is not restarted in this process."""


class EngineUnavailable(Fatal):
    """The engine could not be started."""


class BusUnavailable(Fatal):
    """Kafka cannot be used: unreachable, or access denied."""


class BusUnreachable(BusUnavailable):
    """No broker answers: one may start later, so a starting worker waits."""


class InstanceReplaced(Fatal):
    """Another worker joined the group with the same `input.group_instance_id`."""


class OffsetLost(Fatal):
    """Retention deleted records behind the committed offset before they were judged."""


class WrongSetting(Fatal):
    """A setting is invalid."""
