"""JMESPath over untrusted values: the library's meaning, own functions, and no other error."""

import jmespath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.decoding.compiled import is_true
from worker.decoding.expressions import Expression, ExpressionFailed, InvalidExpression

KEYS = st.sampled_from("abc")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
PATHS = st.lists(KEYS, min_size=1, max_size=4).map(".".join)


def evaluate(text, data):
    return Expression(text).evaluate(data)


@given(PATHS, JSON)
def test_a_path_finds_what_the_library_finds(path, data):
    assert evaluate(path, data) == jmespath.search(path, data)


LEAVES = PATHS | st.sampled_from(
    ["@", "`null`", "`0`", "`false`", "'a'", "[0]", "a[-1]", "a[*]", "b[]", "c.*", "a[1:]"]
)
FORMS = [
    "{0} || {1}",
    "{0} && {1}",
    "!({0})",
    "({0}) == {1}",
    "({0}) != {1}",
    "({0}) < {1}",
    "({0}) == 'a'",
    "[{0}, {1}]",
    "[{0}, {1}][]",
    "{{a: {0}, b: {1}}}",
    "({0}) | {1}",
    "({0})[?{1}]",
    "({0})[].[{1}]",
    "a.[{0}]",
    "not_null({0}, {1})",
    "length({0})",
    "type({0})",
    "sort_by(@, &({0}))",
]
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        lambda form, *of: form.format(*of), st.sampled_from(FORMS), inner, inner
    ),
    max_leaves=6,
)


@settings(max_examples=500)
@given(EXPRESSIONS, JSON)
def test_other_expressions_mean_what_the_library_means_or_fail_by_name(text, data):
    try:
        expected = jmespath.search(text, data)
    except Exception as error:  # noqa: BLE001 - the library's own and Python's
        with pytest.raises(ExpressionFailed, match=f"^{type(error).__name__}$"):
            evaluate(text, data)
    else:
        # 1 and true are equal in Python
        assert repr(evaluate(text, data)) == repr(expected)


@pytest.mark.parametrize("form", FORMS)
def test_values_that_are_false_in_python_mean_what_the_library_means(form):
    values = [0, 0.0, 1, False, True, "", "a", [], [0], {}, None]
    text = form.format("a", "b")
    for a in values:
        for b in values:
            data = {"a": a, "b": b}
            try:
                expected = repr(jmespath.search(text, data))
            except Exception as error:  # noqa: BLE001 - the library's own and Python's
                expected = type(error).__name__
            try:
                found = repr(evaluate(text, data))
            except ExpressionFailed as error:
                found = str(error)
            assert found == expected, data


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a.[", "Invalid jmespath expression"),
        ("a b", "Unexpected token: b"),
        ("nothing(a)", r"There is no function nothing\(\)."),
        ("!a.b && c", r"write !\(a\.b\)"),
        ("c[?!a[0].b]", r"write !\(a\.b\)"),
        ("a[?other(@)]", r"There is no function other\(\)."),
    ],
)
def test_what_cannot_be_compiled_is_one_line(text, said):
    with pytest.raises(InvalidExpression, match=said) as refused:
        Expression(text)
    assert "\n" not in str(refused.value)


USER = {"role": "user", "content": "x"}
HUMAN = {"type": "human", "role": "human", "content": "x"}
MERGED = [{"id": "1", "b": 1, "c": 2}, {"id": 2}, {"id": "1", "b": None, "c": 3}, 7]


@pytest.mark.parametrize(
    ("text", "data", "found"),
    [
        ("parse_json(a)", {"a": '[{"b": 1}]'}, [{"b": 1}]),
        ("parse_json(a)[0].b", {"a": '[{"b": 1}]'}, 1),
        ("parse_json(a)", {"a": "no JSON"}, None),
        ("parse_json(a)", {"a": [1]}, [1]),
        ("parse_json(a)", {}, None),
        (
            "text_of(a)",
            {"a": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}]},
            "x\ny",
        ),
        ("text_of(a)", {"a": [{"type": "image_url", "image_url": "u"}]}, None),
        ("text_of(a)", {"a": 7}, None),
        ("text_of(a)", {}, None),
        ("messages_of(a, 'user')", {"a": "x"}, [{"role": "user", "content": "x"}]),
        ("messages_of(a, 'user')", {"a": {"messages": [{"role": "x"}]}}, [{"role": "x"}]),
        ("messages_of(a, 'user')", {"a": {"other": 1}}, [{"role": "user", "other": 1}]),
        ("messages_of(a, 'user')", {"a": {"type": "human", "content": "x"}}, [HUMAN]),
        ("messages_of(a, 'user')", {"a": [7]}, [7]),
        ("messages_of(a, 'user')", {"a": {"error": "e", "message": None}}, []),
        ("messages_of(a, 'user')", {}, None),
        ("parse_body(a)", {"a": '[{"role": "user", "content": "x"}]'}, [USER]),
        ("parse_body(a)", {"a": '{"b": 1}'}, '{"b": 1}'),
        ("parse_body(a)", {"a": "[]"}, "[]"),
        ("parse_body(a)", {"a": "{"}, "{"),
        ("parse_body(a)", {"a": [1]}, [1]),
        ("is_stream(a)", {"a": {"object": "chat.completion.chunk"}}, True),
        ("is_stream(a)", {"a": [{"candidates": []}, {"candidates": []}]}, True),
        ("is_stream(a)", {"a": [{"candidates": []}]}, False),
        ("is_stream(a)", {"a": "data: 7 of 9"}, False),
        ("is_stream(a)", {}, False),
        ("merge_by(a, 'id')", {"a": MERGED}, [{"id": "1", "b": 1, "c": 3}, {"id": 2}, 7]),
        ("merge_by(a, 'id')", {"a": "x"}, []),
        ("time(a, 'ns')", {"a": 1764000000123456789}, "2025-11-24T16:00:00.123457+00:00"),
        ("time(a, 'ms')", {"a": "1764000000500"}, "2025-11-24T16:00:00.500000+00:00"),
        ("time(a, 's')", {"a": 1e300}, None),
        ("time(a, 's')", {"a": True}, None),
        ("time(a, 'fortnights')", {"a": 1}, None),
        ("time(a, 's')", {"a": "soon"}, None),
    ],
)
def test_functions(text, data, found):
    assert evaluate(text, data) == found


NODES = {"1": {"p": None, "n": 1}, "2": {"p": "1", "n": 2}, "3": {"p": "1", "n": 3}}


@pytest.mark.parametrize(
    ("nodes", "last", "found"),
    [
        (NODES, "3", [1, 3]),
        ([{"id": k, **v} for k, v in NODES.items()], "2", [1, 2]),
        ({"1": {"p": "2", "n": 1}, "2": {"p": "1", "n": 2}}, "1", [2, 1]),
        (NODES, "9", []),
        (NODES, None, None),
        ("text", "1", None),
        ({"1": "text"}, "1", [None]),
    ],
)
def test_a_chain_of_parents(nodes, last, found):
    chain = evaluate("chain(nodes, last, 'p')", {"nodes": nodes, "last": last})
    assert found == (
        None if chain is None else [n.get("n") if isinstance(n, dict) else None for n in chain]
    )


def test_the_values_of_otlp():
    attributes = [
        {"key": "text", "value": {"stringValue": "x"}},
        {"key": "number", "value": {"intValue": "17"}},
        {"key": "share", "value": {"doubleValue": 0.5}},
        {"key": "list", "value": {"arrayValue": {"values": [{"boolValue": True}, {}]}}},
        {"key": "map", "value": {"kvlistValue": {"values": [{"key": "a", "value": {}}]}}},
        {"key": "empty", "value": {"arrayValue": {}}},
        {"no": "key"},
    ]
    assert evaluate("otlp(a)", {"a": attributes}) == {
        "text": "x",
        "number": 17,
        "share": 0.5,
        "list": [True, None],
        "map": {"a": None},
        "empty": [],
    }


CALLS = [
    "messages_of(@, a)",
    "parse_body(@)",
    "is_stream(@)",
    "merge_by(@, a)",
    "parse_json(@)",
    "text_of(@)",
    "otlp(@)",
    "chain(@, a, b)",
    "chain(a, b, c)",
    "time(@, a)",
]


@given(st.sampled_from(CALLS), JSON)
def test_no_value_makes_a_function_fail(text, data):
    found = evaluate(text, data)
    # JSON again, or what a mapping can go on with
    assert found is None or isinstance(found, str | int | float | list | dict)


def test_a_value_that_is_nested_deeply_is_cut():
    value = {"stringValue": "x"}
    for _ in range(900):
        value = {"arrayValue": {"values": [value]}}
    found, depth = evaluate("otlp(@)", value), 0
    while found:
        (found,), depth = found, depth + 1
    assert 50 <= depth < 200


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, False), (False, False), ("", False), ([], False), ({}, False), (0, True), ("a", True)],
)
def test_truth(value, expected):
    assert is_true(value) is expected
