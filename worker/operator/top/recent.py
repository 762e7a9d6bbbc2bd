"""One answer of `/recent`: the last verdicts of a worker, without anybody's text."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from worker.operator.top.scrapes import Unreadable

_Seconds = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class RecentVerdict:
    """What a verdict said, and of which record.

    Attributes:
        labels: by the names of the questions.
        judged_at: Unix seconds.
        age_seconds: from Kafka's timestamp of the event until the verdict was durable.
    """

    topic: str
    partition: int
    offset: int
    status: str
    labels: dict[str, str | None]
    flags: tuple[str, ...]
    judged_at: _Seconds
    age_seconds: _Seconds
    trace_id: str | None


_ANSWER = TypeAdapter(list[RecentVerdict])


def read_recent(body: bytes) -> tuple[RecentVerdict, ...]:
    """The verdicts of an answer, newest first.

    Raises:
        Unreadable: the answer is not understood.
    """
    try:
        return tuple(_ANSWER.validate_json(body))
    except ValidationError as error:
        raise Unreadable("its /recent is not understood") from error
