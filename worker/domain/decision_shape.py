"""The shape of a published decision: a JSON document that another system reads."""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from worker.domain.decisions import Decision
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
        document = self.document(decision, verdict)
        try:
            return orjson.dumps(document)
        except orjson.JSONEncodeError:
            text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
            return text.encode("utf-8", "replace")
