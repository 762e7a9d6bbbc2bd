"""Fixtures checked by AWS's SDK: requests and answers of Bedrock as its model describes them."""

from collections.abc import Iterator
from typing import Any

import boto3
from botocore.stub import Stubber

from tests.tools.fixtures_made.fixture import BY_HAND, Fixture, judged, made_with, refused, skipped

_MODEL = "anthropic.claude-sonnet-5-v1:0"
_USAGE = {"inputTokens": 12, "outputTokens": 7, "totalTokens": 19}
_CALL = {"toolUse": {"toolUseId": "t1", "name": "look_up", "input": {"dish": "soup"}}}


def _user(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def _said(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(content)}


def _converse(messages: list[Any], *content: dict[str, Any], **more: Any) -> dict[str, Any]:
    client = boto3.client(
        "bedrock-runtime",
        region_name="eu-central-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
    )
    answer = {
        "output": {"message": _said(*content)},
        "stopReason": "end_turn",
        "usage": _USAGE,
        "metrics": {"latencyMs": 340},
    }
    request = {
        "modelId": _MODEL,
        "system": [{"text": "You are a cook."}],
        "messages": messages,
        **more,
    }
    with Stubber(client) as stub:
        stub.add_response("converse", answer, request)
        found = client.converse(**request)
    found["ResponseMetadata"] = {"RequestId": "request-1", "HTTPStatusCode": 200}
    return {"request": request, "response": found}


def _invocation(record: dict[str, Any], **more: Any) -> dict[str, Any]:
    body = {name: value for name, value in record["request"].items() if name != "modelId"}
    answer = {n: v for n, v in record["response"].items() if n != "ResponseMetadata"}
    return {
        "schemaType": "ModelInvocationLog",
        "schemaVersion": "1.0",
        "timestamp": "2026-03-01T10:00:00Z",
        "accountId": "123456789012",
        "region": "eu-central-1",
        "requestId": "request-2",
        "operation": "Converse",
        "modelId": _MODEL,
        "input": {"inputContentType": "application/json", "inputBodyJson": body},
        "output": {"outputContentType": "application/json", "outputBodyJson": answer},
        **more,
    }


_LOGGED = {
    "id": "request-2",
    "tenant": "123456789012",
    "model": _MODEL,
    "occurred_at": "2026-03-01T10:00:00Z",
}


def _records() -> Iterator[tuple[str, Any, dict[str, Any]]]:
    own = {"id": "request-1", "model": _MODEL}
    history = [_user({"text": "Hello"}), _said({"text": "Hi."}), _user({"text": "How salty?"})]
    whose = {"conversation_id": "conversation-1", "user_id": "user-1", "tenant": "tenant-1"}
    simple = _converse(history, {"text": "A pinch."}, requestMetadata=whose)
    yield "request_and_response", simple, judged("How salty?", "A pinch.", **own, **whose)

    result = {"toolResult": {"toolUseId": "t1", "content": [{"text": "2 l"}], "status": "success"}}
    thought = {"reasoningContent": {"reasoningText": {"text": "They want a volume."}}}
    messages = [_user({"text": "How much soup?"}), _said(_CALL), _user(result)]
    record = _converse(messages, thought, {"text": "Two litres."})
    yield "tool_calls_and_reasoning", record, judged("How much soup?", "Two litres.", **own)

    record = _converse([_user({"text": "Look up soup"})], _CALL)
    yield "only_a_tool_call", record, judged("Look up soup", **own)

    guarded = {"guardContent": {"text": {"text": "How hot?", "qualifiers": ["guard_content"]}}}
    record = _converse([_user({"text": "Soup."}, guarded)], {"text": "Very."})
    yield "guarded_content", record, judged("Soup.\nHow hot?", "Very.", **own)

    logged = _invocation(_converse([_user({"text": "Is it done?"})], {"text": "Nearly."}))
    yield "invocation_log", logged, judged("Is it done?", "Nearly.", **_LOGGED)

    image = {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://images/soup.png"}}}}
    record = _converse([_user({"text": "What is it?"}, image)], {"text": "Soup."})
    expected = judged("What is it?", "Soup.", flags=["not_all_text"], **_LOGGED)
    yield "image", _invocation(record), expected

    yield "empty_answer", _converse([_user({"text": "Say nothing"})]), judged("Say nothing", **own)

    metadata = {"input": {"inputContentType": "application/json", "inputTokenCount": 12}}
    yield "text_not_logged", _invocation(simple, **metadata), refused("Redacted", "was not logged")

    stored = {"inputContentType": "application/json", "inputBodyS3Path": "s3://logs/1.json"}
    yield "body_in_s3", _invocation(simple, input=stored), refused("NotAnEvent", "to S3")

    failed = _invocation(_converse([_user({"text": "Hello"})], {"text": "-"}))
    failed |= {"errorCode": "ThrottlingException", "output": {}}
    yield "error", failed, judged("Hello", **_LOGGED)

    events = [{"type": "content_block_delta", "delta": {"type": "text_delta", "text": "A"}}]
    streamed = _invocation(simple, operation="InvokeModelWithResponseStream")
    streamed["output"]["outputBodyJson"] = events
    yield "events", streamed, refused("NotAnEvent", "events of a stream")

    invoked = _invocation(simple, operation="InvokeModel")
    invoked["input"]["inputBodyJson"] = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "More salt?"}],
    }
    invoked["output"]["outputBodyJson"] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "No."}],
        "stop_reason": "end_turn",
    }
    yield "anthropic_body", invoked, judged("More salt?", "No.", **_LOGGED)

    embedded = _invocation(simple, modelId="amazon.titan-embed-text-v2:0", operation="InvokeModel")
    embedded["input"]["inputBodyJson"] = {"inputText": "soup"}
    embedded["output"]["outputBodyJson"] = {"embedding": [0.5], "inputTextTokenCount": 1}
    yield "embedding", embedded, skipped()


def fixtures() -> Iterator[Fixture]:
    plain = {"anthropic_body", "embedding", "events"}
    sdk = made_with("boto3")
    for name, record, expected in _records():
        # the log of invocations has no type in the SDK: the bodies in it have
        made = BY_HAND if name in plain else sdk
        yield Fixture("bedrock-converse", name, made, record, [expected])
