"""What is judged of a conversation, in the forms that chat APIs and their logs have."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.decoding.events import decode_event
from worker.domain.errors import NotAnEvent, NothingToJudge
from worker.domain.events import judged_exchange

IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
CALL = {"tool_calls": [{"id": "1", "function": {"name": "search", "arguments": "{}"}}]}


def text(value):
    return {"type": "text", "text": value}


def user(content):
    return {"role": "user", "content": content}


def assistant(content, **fields):
    return {"role": "assistant", "content": content} | fields


USER, PART = user("a"), text("How is it?")


def judged(*messages, **fields):
    return judged_exchange(decode_event(orjson.dumps({"messages": messages} | fields)))


def exchange(*messages, **fields):
    found = judged(*messages, **fields)
    return found.prompt, found.response


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([user("a"), assistant("b"), user("c"), assistant("d")], ("c", "d")),
        ([user("a"), assistant("b"), user("c")], ("c", None)),
        ([user("a"), user("b"), assistant("c"), assistant("d")], ("a\n\nb", "c\n\nd")),
        ([user("a"), {"role": "system", "content": "s"}, user("b")], ("a\n\nb", None)),
        (
            [user("a"), assistant("b"), {"role": "tool", "content": "t"}, assistant("c")],
            ("a", "b\n\nc"),
        ),
    ],
)
def test_all_that_was_said_since_the_other_side_spoke_is_judged(messages, expected):
    assert exchange(*messages) == expected


@pytest.mark.parametrize(
    "silent",
    [
        assistant(None, **CALL),
        {"role": "assistant"} | CALL,
        assistant("", **CALL),
        assistant([], **CALL),
        assistant([{"type": "tool_use", "id": "1", "name": "n", "input": {}}]),
        assistant([{"type": "thinking", "thinking": "hm"}, text(None)]),
        {"role": "model", "parts": [{"functionCall": {"name": "n"}}]},
        {"role": "model", "parts": [{"text": "hm", "thought": True}]},
        {"role": "assistant"},
    ],
)
def test_a_turn_without_words_answers_nothing_and_divides_nothing(silent):
    assert exchange(user("a"), silent) == ("a", None)
    assert exchange(user("a"), silent, user("b")) == ("a\n\nb", None)
    tool = {"role": "tool", "content": "result"}
    assert exchange(user("a"), silent, tool, assistant("b")) == ("a", "b")


def test_an_answer_of_blanks_is_no_answer():
    assert exchange(user("a"), assistant(" \n"), user("b"), assistant("c"), assistant("")) == (
        "a\n\nb",
        "c",
    )


def test_a_refusal_is_an_answer():
    assert exchange(user("a"), assistant(None, refusal="no")) == ("a", "no")
    assert exchange(user("a"), assistant("well", refusal="no")) == ("a", "well\n\nno")
    assert exchange(user("a"), assistant([{"type": "refusal", "refusal": "no"}])) == ("a", "no")
    assert exchange(user("a"), assistant("b", refusal=None)) == ("a", "b")


@pytest.mark.parametrize("role", ["user", "human", "USER", " Human ", "end_user"])
def test_a_user_has_many_names(role):
    assert exchange({"role": role, "content": "a"}) == ("a", None)


@pytest.mark.parametrize("role", ["assistant", "ai", "model", "Bot", "chatbot", "gpt"])
def test_an_assistant_has_many_names(role):
    assert exchange(user("a"), {"role": role, "content": "b"}) == ("a", "b")


@pytest.mark.parametrize(
    "role", ["system", "developer", "tool", "function", "ipython", "narrator", "", None, 7, ["a"]]
)
def test_any_other_role_is_context(role):
    context = {"role": role, "content": "x"}
    assert exchange(context, user("a"), context, assistant("b"), context) == ("a", "b")
    assert exchange({"content": 5}, user("a")) == ("a", None)


@pytest.mark.parametrize(
    ("content", "read"),
    [
        ([text("a"), text("b")], "a\nb"),
        (["a", "b"], "a\nb"),
        ([{"type": "input_text", "text": "a"}], "a"),
        ([{"type": "output_text", "text": "a", "annotations": []}], "a"),
        ([{"type": "text", "text": {"value": "a", "annotations": []}}], "a"),
        ([{"type": "text", "content": "a"}], "a"),
        ([{"type": "shiny_new", "text": "a"}], "a"),
        ([{"text": "a"}, None, {"text": None}], "a"),
        ({"type": "text", "text": "a"}, "a"),
        ({"text": "a"}, "a"),
        ({"content_type": "text", "parts": ["a"]}, "a"),
        ([{"type": "thinking", "thinking": "x"}, text("a")], "a"),
        ([{"type": "reasoning", "text": "x"}, text("a")], "a"),
        ([{"type": "redacted_thinking", "data": "x"}, text("a")], "a"),
        ([{"type": "tool_result", "content": [text("x")]}, text("a")], "a"),
        ([{"toolUse": {"name": "x"}}, {"text": "a"}], "a"),
    ],
)
def test_content_is_read_in_every_form(content, read):
    found = judged(user(content), assistant(content))
    assert (found.prompt, found.response, found.flags) == (read, read, ())


def test_geminis_parts_are_content():
    assert exchange(
        {"role": "user", "parts": [{"text": "a"}]},
        {"role": "model", "parts": [{"text": "x", "thought": True}, {"text": "b"}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "n"}}]},
        {"role": "model", "parts": [{"text": "c"}]},
    ) == ("a", "b\n\nc")


def test_results_of_tools_are_not_a_users_words():
    result = user([{"type": "tool_result", "tool_use_id": "1", "content": "x"}])
    assert exchange(user("a"), assistant("b"), result) == ("a", "b")
    both = user([{"type": "tool_result", "content": "x"}, text("c")])
    assert exchange(user("a"), assistant("b"), both) == ("c", None)


@pytest.mark.parametrize(
    "part",
    [
        IMAGE,
        {"type": "image", "source": {}},
        {"type": "input_audio", "input_audio": {}},
        {"type": "file", "file": {}},
        {"type": "hologram"},
        {"inlineData": {"mimeType": "image/png", "data": "x"}},
    ],
)
def test_what_is_not_text_is_flagged_where_it_is_judged(part):
    found = judged(user([part, text("a")]), assistant("b"))
    assert (found.prompt, found.response, found.flags) == ("a", "b", ("not_all_text",))
    assert judged(user("a"), assistant([text("b"), part])).flags == ("not_all_text",)
    older = judged(user([part, text("a")]), assistant("b"), user("c"))
    assert (older.prompt, older.flags) == ("c", ())


def test_an_answer_that_is_only_an_image_ends_the_turn():
    found = judged(user("a"), assistant([IMAGE]), user("b"))
    assert (found.prompt, found.response, found.flags) == ("b", None, ())
    found = judged(user("a"), assistant([IMAGE]))
    assert (found.prompt, found.response, found.flags) == ("a", None, ("not_all_text",))


def test_the_transcript_of_speech_is_what_was_said():
    found = judged(user("a"), assistant(None, audio={"id": "1", "data": "x", "transcript": "b"}))
    assert (found.prompt, found.response, found.flags) == ("a", "b", ("not_all_text",))


@pytest.mark.parametrize(
    ("turn", "said"),
    [
        ("hello", "messages.1 is a string"),
        (["hello"], "messages.1 is an array"),
        (user(42), "messages.1.content is a number"),
        (user([["a"]]), "messages.1.content.0 is an array"),
        (user([{"value": "a"}]), "messages.1.content.0 has neither a type nor a text"),
        (user([{"type": "text"}]), "messages.1.content.0 is a text part without text"),
        (user([{"type": "text", "text": 5}]), "messages.1.content.0.text is a number"),
        (user([{"type": "text", "text": {"v": "a"}}]), "messages.1.content.0.text is an object"),
        ({"role": "user", "message": "a"}, "messages.1 has no content"),
        ({"role": "assistant", "message": "a"}, "messages.1 has no content"),
    ],
)
def test_what_is_judged_is_never_half_read(turn, said):
    with pytest.raises(NotAnEvent) as caught:
        judged(user("a"), turn)
    assert said in str(caught.value)
    # an older turn does not matter
    assert exchange(turn, user("x"), assistant("y"), user("a")) == ("a", None)


def test_a_message_that_is_null_says_nothing():
    assert exchange(user("a"), None, assistant("b")) == ("a", "b")


def test_a_response_follows_the_last_message():
    assert exchange(user("a"), response="b") == ("a", "b")
    assert exchange(user("a"), assistant("b"), response="c") == ("a", "b\n\nc")
    assert exchange(user("a"), assistant("b"), response=None) == ("a", "b")
    assert exchange(user("a"), response="") == ("a", "")
    assert exchange(user("a"), assistant("b"), user("c"), response="d") == ("c", "d")


@pytest.mark.parametrize(
    "response",
    ["b", [text("b")], text("b"), {"content": "b"}, {"role": "assistant", "content": [text("b")]}],
)
def test_a_response_has_the_forms_of_content(response):
    assert exchange(user("a"), response=response) == ("a", "b")
    found = judged_exchange(decode_event(orjson.dumps({"prompt": "a", "response": response})))
    assert (found.prompt, found.response) == ("a", "b")


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (
            {"choices": [{"message": assistant("b")}]},
            "the text that was answered; guardstream map --suggest",
        ),
        ({"candidates": []}, "response looks like Gemini's response body"),
        (42, "response is a number"),
        ({"answer": "b"}, "response has no content"),
    ],
)
def test_a_response_that_cannot_be_read_is_named(response, said):
    for fields in ({"messages": [user("a")]}, {"prompt": "a"}):
        with pytest.raises(NotAnEvent) as caught:
            decode_event(orjson.dumps(fields | {"response": response}))
        assert said in str(caught.value)


def test_a_prompt_has_the_forms_of_content():
    found = judged_exchange(decode_event(orjson.dumps({"prompt": [text("a"), IMAGE]})))
    assert (found.prompt, found.flags) == ("a", ("not_all_text",))


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "no message of a user"),
        ([assistant("a")], "no message of a user"),
        ([user([{"type": "tool_result", "content": "x"}])], "no message of a user"),
        ([user("a"), assistant("b"), user("  ")], "blank"),
        ([user([text("")])], "blank"),
        ([user([IMAGE])], "not text"),
        ([user([IMAGE]), user(" ")], "not text"),
    ],
)
def test_without_words_of_a_user_there_is_nothing_to_judge(messages, said):
    with pytest.raises(NothingToJudge, match=said):
        judged(*messages)


def test_messages_that_say_nothing_leave_the_short_form():
    for messages in (None, []):
        event = decode_event(orjson.dumps({"prompt": "a", "messages": messages}))
        assert judged_exchange(event).prompt == "a"
    assert exchange(user("a"), prompt=None) == ("a", None)
    assert exchange(user("a"), prompt="") == ("a", None)


# property: of a conversation, just the words since the other side spoke are judged

WORDS = st.text("abc \n\U0001f600", max_size=6)
PARTS = st.lists(
    st.builds(text, WORDS)
    | st.sampled_from(
        [
            {"type": "tool_result", "content": "hidden"},
            {"type": "thinking", "thinking": "hidden"},
            {"type": "tool_use", "input": "hidden"},
        ]
    ),
    max_size=3,
)
TURNS = st.lists(
    st.tuples(
        st.sampled_from(["user", "assistant", "system", "tool", "Human", "AI"]),
        st.none() | WORDS | PARTS,
    ),
    max_size=8,
)


def words(content):
    if isinstance(content, list):
        texts = [part["text"] for part in content if part["type"] == "text"]
        return "\n".join(texts) if texts else None
    return content


def by_the_rules(turns):
    """The exchange as the contract words it, read from the first turn to the last."""
    requests, answers = [], []
    for role, content in turns:
        said = words(content)
        if role in {"user", "Human"} and said is not None:
            if any(map(str.strip, answers)):
                requests, answers = [], []
            requests.append(said)
        elif role in {"assistant", "AI"} and said is not None and requests:
            answers.append(said)
    if not any(map(str.strip, requests)):
        return None
    prompt = requests[0] if len(requests) == 1 else joined(requests)
    answers = [said for said in answers if said.strip()]
    return prompt, joined(answers) if answers else None


def joined(texts):
    return "\n\n".join(said for said in texts if said.strip())


@given(TURNS)
def test_each_word_since_the_other_side_spoke_is_judged_and_no_other(turns):
    messages = [{"role": role, "content": content} for role, content in turns]
    expected = by_the_rules(turns)
    if expected is None:
        with pytest.raises(NothingToJudge):
            judged(*messages)
    else:
        assert exchange(*messages) == expected


@pytest.mark.parametrize(
    ("event", "response"),
    [
        ({"messages": [USER, {"role": "assistant", "refusal": "I cannot."}]}, "I cannot."),
        (
            {"messages": [USER, {"role": "assistant", "audio": {"transcript": "Hello."}}]},
            "Hello.",
        ),
        (
            {
                "messages": [
                    USER,
                    {"role": "assistant", "content": "", "audio": {"transcript": "Hello."}},
                ]
            },
            "Hello.",
        ),
        ({"messages": [USER], "response": {"content": None, "refusal": "No."}}, "No."),
        ({"messages": [USER], "response": {"content": "Hm.", "refusal": "No."}}, "Hm.\n\nNo."),
        (
            {"messages": [USER, {"role": "assistant", "content": "", "parts": [PART]}]},
            "How is it?",
        ),
        ({"messages": [USER, {"role": "assistant", "content": [], "text": "Well."}]}, "Well."),
        (
            {"messages": [USER], "response": [{"type": "message", "content": [PART]}]},
            "How is it?",
        ),
    ],
)
def test_no_words_of_an_assistant_are_passed_over(event, response):
    assert judged(*event.pop("messages"), **event).response == response


def test_a_users_words_beside_empty_content_are_the_newest():
    last = {"role": "user", "content": "", "parts": [PART]}
    assert judged(USER, assistant("b"), last).prompt == "How is it?"


@pytest.mark.parametrize("name", ["content", "parts", "text"])
def test_messages_within_messages_are_refused_at_any_depth(name):
    nested = {"type": "message", name: [PART]}
    for _ in range(60):
        nested = {"type": "message", name: [nested]}
    with pytest.raises(NotAnEvent):
        judged(USER, response=[nested])
    with pytest.raises(NotAnEvent, match="content in an unknown format"):
        judged(USER, response=[{"type": "odd", "content": "words"}])
