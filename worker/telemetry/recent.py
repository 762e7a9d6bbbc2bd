"""The last verdicts of a worker, for its console."""

from collections import deque
from typing import Any

from worker.domain.records import Headers
from worker.domain.verdicts import Verdict
from worker.telemetry.categories import Categories
from worker.telemetry.tracing import trace_id

_KEPT = 50


class RecentVerdicts:
    """Keeps the last verdicts, and shows them without text of events.

    Args:
        categories: the codes that can be shown.
    """

    def __init__(self, categories: Categories) -> None:
        self._categories = categories
        self._verdicts: deque[tuple[Verdict, float, float, Headers]] = deque(maxlen=_KEPT)

    def add(self, verdict: Verdict, judged_at: float, age: float, headers: Headers) -> None:
        """Add a verdict, with the time (Unix seconds), its age in seconds and the headers."""
        self._verdicts.appendleft((verdict, judged_at, age, headers))

    def documents(self) -> list[dict[str, Any]]:
        """The verdicts, newest first: labels, place, times and trace."""
        return [
            {
                "topic": verdict.source.topic,
                "partition": verdict.source.partition,
                "offset": verdict.source.offset,
                "status": verdict.status,
                "labels": {name: reading.label for name, reading in verdict.readings().items()},
                "categories": self._categories.codes_of(verdict),
                "severity": verdict.severity,
                "flags": list(verdict.flags),
                "judged_at": judged_at,
                "age_seconds": age,
                "trace_id": trace_id(headers),
            }
            for verdict, judged_at, age, headers in self._verdicts
        ]
