"""Fixtures made with the types of Langfuse's SDK: batches of its ingestion API, and exports."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
from langfuse.api.core.jsonable_encoder import jsonable_encoder
from langfuse.api.resources.commons.types import Observation, Trace
from langfuse.api.resources.ingestion.types import (
    CreateGenerationBody,
    CreateSpanBody,
    TraceBody,
    UpdateGenerationBody,
)
from langfuse.api.resources.ingestion.types import ingestion_event as events

from tests.tools.fixtures_made.fixture import (
    BY_HAND,
    Fixture,
    assistant,
    judged,
    made_with,
    refused,
    skipped,
    user,
)

_MODEL = "gpt-5-mini"
_START = datetime(2026, 3, 1, 9, 59, 58, tzinfo=UTC)
_END = datetime(2026, 3, 1, 10, tzinfo=UTC)
_FIELDS = {"model": _MODEL, "occurred_at": "2026-03-01T10:00:00Z", "conversation_id": "trace-1"}


def _batch(*items: Any) -> dict[str, Any]:
    return {"batch": [jsonable_encoder(item) for item in items], "metadata": {"sdk": "python"}}


def _envelope(number: int) -> dict[str, Any]:
    return {"id": f"event-{number}", "timestamp": _END.isoformat()}


def _create(own_id: str, given: Any, answer: Any = None, **more: Any) -> Any:
    body = {"id": own_id, "trace_id": "trace-1", "start_time": _START, "model": _MODEL, **more}
    if given is not None:
        body["input"] = given
    if answer is not None:
        body |= {"output": answer, "end_time": _END}
    return events.IngestionEvent_GenerationCreate(body=CreateGenerationBody(**body), **_envelope(1))


def _update(own_id: str, answer: Any) -> Any:
    body = UpdateGenerationBody(id=own_id, trace_id="trace-1", output=answer, end_time=_END)
    return events.IngestionEvent_GenerationUpdate(body=body, **_envelope(2))


def _records() -> Iterator[tuple[str, Any, list[dict[str, Any]]]]:
    trace = events.IngestionEvent_TraceCreate(
        body=TraceBody(id="trace-1", session_id="session-1", user_id="user-1", input="Hello"),
        **_envelope(3),
    )
    span = events.IngestionEvent_SpanCreate(
        body=CreateSpanBody(id="span-1", trace_id="trace-1", input="x", output="y"), **_envelope(4)
    )
    history = [
        {"role": "system", "content": "You know clouds."},
        user("Hello"),
        assistant("Hi."),
        user("What is fog?"),
    ]
    first = _create("g1", history, assistant("A cloud on the ground."))
    expected = judged("What is fog?", "A cloud on the ground.", id="g1", **_FIELDS)
    other = _create("g2", {"messages": [user("What is dew?")]}, "Water.")
    yield (
        "batch",
        _batch(trace, first, span, other),
        [
            expected,
            judged("What is dew?", "Water.", id="g2", **_FIELDS),
        ],
    )
    yield "batch_without_generations", _batch(trace, span), [skipped()]

    answer = {"choices": [{"index": 0, "message": assistant("Ice.")}]}
    yield (
        "create_and_update",
        _batch(_create("g3", "What is hail?"), _update("g3", answer)),
        [judged("What is hail?", "Ice.", id="g3", **_FIELDS)],
    )
    yield (
        "update_without_its_create",
        _batch(_update("g4", assistant("Ice."))),
        [refused("NotAnEvent", "its input is in another batch")],
    )

    call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    messages = [
        user("What is sleet?"),
        assistant(None, tool_calls=[call]),
        {"role": "tool", "tool_call_id": "c1", "content": "Rain and snow."},
    ]
    yield (
        "tool_calls",
        _batch(_create("g5", messages, assistant("Rain and snow."))),
        [judged("What is sleet?", "Rain and snow.", id="g5", **_FIELDS)],
    )
    only = _create("g6", [user("Look up sleet")], assistant(None, tool_calls=[call]))
    yield "only_a_tool_call", _batch(only), [judged("Look up sleet", id="g6", **_FIELDS)]

    media = "@@@langfuseMedia:type=image/png|id=m1|source=base64_data_uri@@@"
    parts = [
        {"type": "text", "text": "Which cloud is it?"},
        {"type": "image_url", "image_url": {"url": media}},
    ]
    yield (
        "image",
        _batch(_create("g7", [user(parts)], assistant("A cirrus."))),
        [judged("Which cloud is it?", "A cirrus.", id="g7", flags=["not_all_text"], **_FIELDS)],
    )

    blocks = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Frost."}]
    yield (
        "blocks_as_output",
        _batch(_create("g8", "What is rime?", blocks)),
        [judged("What is rime?", "Frost.", id="g8", **_FIELDS)],
    )

    yield (
        "empty_answer",
        _batch(_create("g9", "Say nothing", "")),
        [judged("Say nothing", id="g9", **_FIELDS)],
    )
    yield "input_and_output_not_captured", _batch(_create("g10", None)), [skipped()]

    observation = Observation(
        id="g11",
        trace_id="trace-1",
        type="GENERATION",
        start_time=_START,
        end_time=_END,
        model=_MODEL,
        model_parameters={},
        input=history,
        output=assistant("A cloud on the ground."),
        metadata={},
        usage={"input": 12, "output": 7, "total": 19},
        level="DEFAULT",
        usage_details={},
        cost_details={},
        environment="production",
    )
    exported = orjson.loads(observation.json())
    expected = {**expected, "id": "g11"}
    yield "observation", exported, [expected]
    yield "observation_of_a_span", {**exported, "type": "SPAN"}, [skipped()]
    texts = {
        **{name: value for name, value in exported.items() if name not in {"traceId", "endTime"}},
        "trace_id": "trace-1",
        "end_time": "2026-03-01 10:00:00.000000",
        "session_id": "session-1",
        "user_id": "user-1",
        "input": orjson.dumps(history).decode(),
        "output": "A cloud on the ground.",
    }
    yield (
        "observation_with_texts",
        texts,
        [{**expected, "conversation_id": "session-1", "user_id": "user-1"}],
    )

    found = Trace(
        id="trace-1",
        timestamp=_END,
        session_id="session-1",
        user_id="user-1",
        input=[user("What is mist?")],
        output="Thin fog.",
        tags=[],
        public=False,
        environment="production",
    )
    yield (
        "trace",
        orjson.loads(found.json()),
        [
            judged(
                "What is mist?",
                "Thin fog.",
                id="trace-1",
                conversation_id="session-1",
                user_id="user-1",
                occurred_at=_FIELDS["occurred_at"],
            )
        ],
    )


def fixtures() -> Iterator[Fixture]:
    sdk = made_with("langfuse")
    plain = {"observation_with_texts", "observation_of_a_span"}
    for name, record, expected in _records():
        yield Fixture("langfuse", name, BY_HAND if name in plain else sdk, record, expected)
