"""Fixtures written by hand: conversations in the formats of data sets."""

from collections.abc import Iterator
from typing import Any

from tests.tools.fixtures_made.fixture import BY_HAND, Fixture, assistant, judged, refused, user

Records = Iterator[tuple[str, Any, list[dict[str, Any]]]]


def _sharegpt() -> Records:
    def conversation(*turns: tuple[str, Any], **more: Any) -> dict[str, Any]:
        said = [{"from": speaker, "value": text} for speaker, text in turns]
        return {"id": "talk_0", "conversations": said, **more}

    fields = {"id": "talk_0", "conversation_id": "talk_0"}
    yield (
        "conversation",
        conversation(
            ("system", "You know trains."),
            ("human", "Hello"),
            ("gpt", "Hi."),
            ("human", "What is a bogie?"),
            ("gpt", "A frame with wheels."),
        ),
        [judged("What is a bogie?", "A frame with wheels.", **fields)],
    )
    yield (
        "other_names",
        conversation(("user", "What is steam?"), ("bing", "Hot water.")),
        [judged("What is steam?", "Hot water.", **fields)],
    )
    call = '{"name": "look_up", "arguments": {}}'
    yield (
        "tool_calls",
        conversation(
            ("human", "Is it late?"),
            ("function_call", call),
            ("observation", "yes"),
            ("gpt", "It is."),
        ),
        [judged("Is it late?", "It is.", **fields)],
    )
    yield (
        "ends_with_the_user",
        conversation(("human", "Is it red?")),
        [judged("Is it red?", **fields)],
    )
    yield (
        "empty_answer",
        conversation(("human", "Say nothing"), ("gpt", "")),
        [judged("Say nothing", **fields)],
    )
    yield (
        "refusal",
        conversation(("human", "Drive it"), ("gpt", "I can't do that.")),
        [judged("Drive it", "I can't do that.", **fields)],
    )
    yield (
        "roles_and_contents",
        {"conversations": [user("Is it fast?"), assistant("Very.")]},
        [judged("Is it fast?", "Very.")],
    )
    yield (
        "no_conversation",
        {"id": "talk_0", "conversations": []},
        [refused("NotAnEvent", "finds no messages")],
    )
    yield (
        "value_of_another_type",
        conversation(("human", 7), ("gpt", "Seven.")),
        [refused("NotAnEvent", "messages.0.content is a number")],
    )


def _wildchat() -> Records:
    def conversation(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
        more_of = {"language": "English", "redacted": False, "toxic": False, "country": "Chile"}
        turns = [{**more_of, "turn_identifier": n, **one} for n, one in enumerate(messages)]
        return {
            "conversation_hash": "hash-1",
            "model": "gpt-5-mini",
            "timestamp": "2026-03-01T10:00:00+00:00",
            "conversation": turns,
            "turn": len(messages) // 2,
            "language": "English",
            "openai_moderation": [],
            "detoxify_moderation": [],
            "toxic": False,
            "redacted": False,
            "country": "Chile",
            "hashed_ip": "ip-1",
            **more,
        }

    fields = {
        "id": "hash-1",
        "conversation_id": "hash-1",
        "model": "gpt-5-mini",
        "user_id": "ip-1",
        "occurred_at": "2026-03-01T10:00:00Z",
    }
    yield (
        "conversation",
        conversation(
            user("Hello"), assistant("Hi."), user("What is a fjord?"), assistant("A narrow bay.")
        ),
        [judged("What is a fjord?", "A narrow bay.", **fields)],
    )
    yield (
        "only_the_user",
        conversation(user("What is a geyser?")),
        [judged("What is a geyser?", **fields)],
    )
    yield (
        "empty_answer",
        conversation(user("Say nothing"), assistant("")),
        [judged("Say nothing", **fields)],
    )
    yield (
        "blank_request",
        conversation(user(" "), assistant("How can I help?")),
        [refused("NothingToJudge", "is blank")],
    )
    yield (
        "refusal",
        conversation(user("Drain the lake"), assistant("I can't do that.")),
        [judged("Drain the lake", "I can't do that.", **fields)],
    )
    turns = [{**user("Is it deep?"), "hashed_ip": "ip-1", "timestamp": None}, assistant("It is.")]
    turns[1]["timestamp"] = "2026-03-01T10:00:00+00:00"
    older = conversation(*turns, timestamp=None, hashed_ip=None)
    yield "fields_in_the_turns", older, [judged("Is it deep?", "It is.", **fields)]
    yield (
        "names_redacted",
        conversation(user("Who is NAME_1?"), assistant("A poet."), redacted=True),
        [judged("Who is NAME_1?", "A poet.", **fields)],
    )
    yield (
        "no_conversation",
        conversation(conversation=None),
        [refused("NotAnEvent", "finds no messages")],
    )


def _lmsys() -> Records:
    def conversation(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {
            "conversation_id": "talk-1",
            "model": "vicuna-13b",
            "conversation": list(messages),
            "turn": len(messages) // 2,
            "language": "English",
            "openai_moderation": [{"categories": {}, "category_scores": {}, "flagged": False}],
            "redacted": False,
            **more,
        }

    fields = {"id": "talk-1", "conversation_id": "talk-1", "model": "vicuna-13b"}
    yield (
        "conversation",
        conversation(
            user("Hello"), assistant("Hi."), user("What is a lute?"), assistant("An instrument.")
        ),
        [judged("What is a lute?", "An instrument.", **fields)],
    )
    yield "only_the_user", conversation(user("Is it loud?")), [judged("Is it loud?", **fields)]
    yield (
        "empty_answer",
        conversation(user("Say nothing"), assistant("")),
        [judged("Say nothing", **fields)],
    )
    yield (
        "refusal",
        conversation(user("Play it"), assistant("I can't play.")),
        [judged("Play it", "I can't play.", **fields)],
    )
    yield (
        "names_redacted",
        conversation(user("Who is NAME_1?"), assistant("A poet."), redacted=True),
        [judged("Who is NAME_1?", "A poet.", **fields)],
    )
    yield (
        "only_the_assistant",
        conversation(assistant("Hi.")),
        [refused("NothingToJudge", "no message of a user")],
    )
    yield (
        "no_conversation",
        {"conversation_id": "talk-1"},
        [refused("NotAnEvent", "finds no messages")],
    )


_PRESETS = {"sharegpt": _sharegpt, "wildchat": _wildchat, "lmsys": _lmsys}


def fixtures() -> Iterator[Fixture]:
    for preset, records in _PRESETS.items():
        for name, record, expected in records():
            yield Fixture(preset, name, BY_HAND, record, expected)
