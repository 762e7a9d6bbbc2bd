"""The shape of a published decision: a JSON document that another system reads."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from worker.domain.decisions import Decision
from worker.domain.encoding import encode_json
from worker.domain.verdicts import Verdict


class DecisionShape(NamedTuple):
    """A shape other than that of `guardstream.decision/1`.

    Attributes:
        name: of the shape, in the header `guardstream.shape`.
        document: a pure function from a decision and its verdict to the document.
    """

    name: str
    document: Callable[[Decision, Verdict], Mapping[str, Any]]

    def encode(self, decision: Decision, verdict: Verdict) -> bytes:
        """The document as JSON; lone surrogates become question marks."""
        return encode_json(self.document(decision, verdict))
