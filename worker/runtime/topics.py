"""The topics that a worker writes: one list for producers, rights, checks and `topics`."""

from dataclasses import dataclass
from typing import Literal

from worker.runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class OutputTopic:
    """A topic that a worker writes.

    Attributes:
        title: what messages call it.
        compactable: whether `cleanup.policy=compact` is allowed: records without a key are refused
            by a compacted topic.
    """

    name: str
    holds: Literal["verdicts", "decisions", "dead letters"]
    title: str
    compactable: bool


def output_topics(settings: Settings) -> tuple[OutputTopic, ...]:
    """The output topics of the settings."""
    output = settings.output
    verdicts = OutputTopic(output.verdict_topic, "verdicts", "verdict topic", compactable=True)
    dead_letters = OutputTopic(
        output.dead_letter_topic, "dead letters", "dead-letter topic", compactable=False
    )
    if settings.policy.file is None:
        return verdicts, dead_letters
    decisions = OutputTopic(output.decision_topic, "decisions", "decision topic", compactable=True)
    return verdicts, decisions, dead_letters


def names_of(topics: tuple[OutputTopic, ...]) -> list[str]:
    """The names, in order."""
    return [topic.name for topic in topics]


def uncompacted(topics: tuple[OutputTopic, ...]) -> list[str]:
    """The names of those that must not be compacted."""
    return [topic.name for topic in topics if not topic.compactable]
