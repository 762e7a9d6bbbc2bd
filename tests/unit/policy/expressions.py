"""Expressions and verdicts at random, and the library's evaluator as a slow reference."""

import celpy
from celpy import celtypes
from celpy.evaluation import base_functions
from hypothesis import strategies as st

from worker.domain.questions import STANDARD_TASKS
from worker.policy.types import TASKS

LIMIT = 0.5
CODES = ("S1", "S2", "hate")
WORDS = ("", "a", "ab", "b", "kids", "high", "é𝄞")

scores = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
maybe_scores = st.none() | scores


def readings(labels):
    return st.fixed_dictionaries(
        {
            "label": st.none() | st.sampled_from(labels),
            "score": maybe_scores,
            "source": st.sampled_from([None, "answer", "score"]),
        }
    )


categories = st.fixed_dictionaries(
    {
        "task": st.sampled_from(STANDARD_TASKS),
        "code": st.sampled_from(CODES),
        "name": st.sampled_from(WORDS),
        "score": maybe_scores,
    }
)
verdicts = st.fixed_dictionaries(
    {
        **{question.name: readings(question.labels) for question in TASKS.values()},
        "verdict_id": st.just("v"),
        "event_id": st.just("e"),
        "conversation_id": st.none() | st.sampled_from(WORDS),
        "user_id": st.none() | st.sampled_from(WORDS),
        "tenant": st.none() | st.sampled_from(WORDS),
        "status": st.sampled_from(["complete", "inconclusive"]),
        "criteria": st.dictionaries(st.sampled_from(["x", "y"]), readings(("yes", "no"))),
        "categories": st.lists(categories, max_size=3),
        "severity": st.none() | st.sampled_from(["high", "low"]),
        "reasoned": st.booleans(),
        "flags": st.lists(st.sampled_from(WORDS), max_size=3),
        "judged_at": st.just("2026-11-28T00:00:00.000Z"),
    }
)

_order = st.sampled_from(["<", "<=", ">", ">="])
_equal = st.sampled_from(["==", "!="])
_task = st.sampled_from([*TASKS, *STANDARD_TASKS])
_number = st.sampled_from(['threshold("limit")', "0.25", "0.75", "-0.5"])
_word = st.sampled_from([f'"{word}"' for word in WORDS])
_text = st.sampled_from(["severity", "tenant", "user_id", "criteria.x.label", "flags[0]"])
_item = st.sampled_from(
    [
        "c.score > 0.5",
        'c.code == "S1"',
        "c.score == null",
        '!(c.score < threshold("limit")) || c.name.contains("a")',
        'c.name.startsWith(severity) && c.code in ["S1", "S2"]',
    ]
)
# the library does not absorb errors within these two macros, as the specification wants
_sure_item = st.sampled_from(['c.code == "S1"', "c.score == null", 'c.name in ["a", "b"]'])
atoms = st.one_of(
    st.builds("{}.score {} {}".format, _task, _order, _number),
    st.builds("{}.score {} {}.score".format, _task, _order | _equal, _task),
    st.builds("{}.score {} null".format, _task, _equal),
    st.builds("{}.score + 0.25 {} {}".format, _task, _order, _number),
    st.builds('{}.label {} "harmful"'.format, st.sampled_from(["prompt", "response"]), _equal),
    st.builds("criteria.{}.score {} {}".format, st.sampled_from("xyz"), _order, _number),
    st.builds("criteria[{}].score {} 0.5".format, _word, _order),
    st.builds("{} {} {}".format, _text, _equal | _order, _word),
    st.builds("{} in [{}, {}]".format, _text, _word, _word),
    st.builds("{} in flags".format, _word),
    st.builds("{} in criteria".format, _word),
    st.builds("{}.{}({})".format, _text, st.sampled_from(["startsWith", "endsWith"]), _word),
    st.builds("{}.{}({})".format, _text, st.just("contains"), _word),
    st.builds('{}.matches("^[a-k]+$")'.format, _text),
    st.builds("size({}) {} {}".format, _text, _order | _equal, st.integers(0, 3)),
    st.builds("size(flags) {} size(categories) + 1".format, _order | _equal),
    # the library counts negative places from the end
    st.builds("categories[{}].score {} 0.5".format, st.integers(0, 2), _order),
    st.builds("categories.{}(c, {})".format, st.sampled_from(["exists", "all"]), _item),
    st.builds("categories.exists_one(c, {})".format, _sure_item),
    st.builds("categories.filter(c, {}).size() == 1".format, _sure_item),
    st.builds("flags.{}(f, f == {})".format, st.sampled_from(["exists", "all"]), _word),
    st.sampled_from(["reasoned", "true", "false", 'status == "complete"']),
)
expressions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.builds("({}) && ({})".format, inner, inner),
        st.builds("({}) || ({})".format, inner, inner),
        st.builds("!({})".format, inner),
        st.builds("(({}) ? ({}) : ({}))".format, inner, atoms, atoms),
        st.builds("({}) == ({})".format, atoms, atoms),
    ),
    max_leaves=6,
)

_environment = celpy.Environment()
_equals, _contains = base_functions["_==_"], base_functions["_in_"]


def _equal_or_null(one, other):
    """The specification's equality; the library makes an error of a number that is no null."""
    if isinstance(one, Exception) or isinstance(other, Exception):
        return one if isinstance(one, Exception) else other
    if one is None or other is None:
        return celtypes.BoolType(one is other)
    return _equals(one, other)


def _different(one, other):
    found = _equal_or_null(one, other)
    return found if isinstance(found, Exception) else celtypes.BoolType(not found)


def _in_or_null(one, items):
    if one is None and not isinstance(items, Exception):
        return celtypes.BoolType(any(item is None for item in items))
    return _contains(one, items)


def _size(of):
    return celpy.CELEvalError("null has no size") if of is None else base_functions["size"](of)


_FUNCTIONS = {
    "size": _size,
    "threshold": lambda _: celtypes.DoubleType(LIMIT),
    "_==_": _equal_or_null,
    "_!=_": _different,
    "_in_": _in_or_null,
}


def reference(expression, verdict):
    """What the library makes of an expression: true, false, or None for an error."""
    names = {name: celpy.json_to_cel(held) for name, held in verdict.items()}
    names |= {short: names[question.name] for short, question in TASKS.items()}
    program = _environment.program(_environment.compile(expression), functions=_FUNCTIONS)
    try:
        found = program.evaluate(names)
    except celpy.CELEvalError:
        return None
    assert isinstance(found, celtypes.BoolType | bool), found
    return bool(found)
