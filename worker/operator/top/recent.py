"""One response of `/recent`: the last verdicts of a worker, without text of users or models."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from worker.operator.top.scrapes import Unreadable

_Seconds = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class RecentVerdict:
    """The labels of a verdict, and its record.

    Attributes:
        labels: by the name of the question.
        categories: their codes, of a worker that reports them; so is `severity`.
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
    categories: tuple[str, ...] = ()
    severity: str | None = None


_ANSWER = TypeAdapter(list[RecentVerdict])


def read_recent(body: bytes) -> tuple[RecentVerdict, ...]:
    """The verdicts of a response, newest first.

    Raises:
        Unreadable: the response cannot be parsed.
    """
    try:
        return tuple(_ANSWER.validate_json(body))
    except ValidationError as error:
        raise Unreadable("its /recent cannot be parsed") from error
