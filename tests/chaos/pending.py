"""Kinds whose expected behaviour the worker does not have yet: left out unless asked for by name.

Empty it when the worker has all of them.
"""

PENDING: tuple[str, ...] = (
    "kills the engine",
    "freezes the loop",
    "kills the process",
    "two of one name",
    "messages and response",
    "two user messages",
    "two assistant messages",
    "tool call between",
)
