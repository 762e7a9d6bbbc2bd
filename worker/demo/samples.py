"""The sample events of the demonstration."""

from importlib import resources

import orjson

from worker.domain.records import OutgoingRecord


def sample_lines() -> list[bytes]:
    """One record value per line; some are invalid on purpose."""
    text = resources.files("worker") / "demo" / "sample-events.jsonl"
    return [line for line in text.read_bytes().splitlines() if line.strip()]


def keyed(topic: str, line: bytes) -> OutgoingRecord:
    """A record with this value, keyed by conversation to keep the order of a conversation."""
    key = None
    try:
        event = orjson.loads(line)
        if isinstance(event, dict):
            name = event.get("conversation_id") or event.get("id")
            key = name.encode() if isinstance(name, str) else None
    except orjson.JSONDecodeError:
        pass  # produced unchanged: the worker makes it a dead letter
    return OutgoingRecord(topic, key, line, (("content-type", b"application/json"),))
