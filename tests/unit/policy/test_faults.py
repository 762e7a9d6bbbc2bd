"""What is wrong with a policy is found when it is loaded, and said in a sentence."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.unit.policy.expressions import expressions
from tests.unit.policy.policies import decide, document, policy, rule, text
from worker.domain.errors import UnusableFile
from worker.operator.schemas import documents
from worker.policy.file import STARTER, InvalidPolicy, parse_policy, read_policy
from worker.policy.literals import read_string, unterminated_string
from worker.policy.policy import Policy
from worker.policy.syntax import InvalidRule, parse


def faults(*rules, **more):
    with pytest.raises(InvalidPolicy) as refused:
        policy(*rules, **more)
    return refused.value.faults


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("promt.score > 0.5", "line 1, column 1: there is no promt"),
        ("reasoned &&\n  promt.score > 0.5", "line 2, column 3: there is no promt"),
        ("prompt.scores > 0.5", "an answer has no field scores: it has label, score, source"),
        ('prompt.label == "harmfull"', "'harmfull' never occurs here: it is one of harmful,"),
        ('"harmfull" != prompt.label', "'harmfull' never occurs here"),
        ('prompt.label in ["harmful", "x"]', "column 29: 'x' never occurs here"),
        ('prompt.source == "guess"', "'guess' never occurs here"),
        ('status == "done"', "one of complete, inconclusive"),
        ('prompt.score > "0.5"', "> compares a double with a string"),
        ("prompt.score == true", "== compares a double with a bool, which are never equal"),
        ("reasoned == null", "== compares a bool with null, which are never equal"),
        ("prompt == response", "never equal"),
        ("prompt.score in flags", "a double is never in a list of string"),
        ("1 in criteria", "the keys of a map are strings, not an int"),
        ("1 in prompt.label", "in takes a list or a map, not a string"),
        ("prompt.score + 1 > 1.0", "two integers or two doubles (1.0)"),
        ("size(flags) / 2 > 1", "the operator / is not offered"),
        ("prompt.score", "this is a double; a condition is true or false"),
        ("prompt.score && true", "column 1: this is a double"),
        ("-reasoned == 1", "- takes a number, not a bool"),
        ('(reasoned ? 1 : "a") == 1', "the two values of ?: are an int and a string"),
        ("(reasoned ? prompt : response).score > 0.5", "the two values of ?:"),
        ('threshold("none") > 0.5', "takes the name of a threshold as a literal: limit"),
        ("threshold(tenant) > 0.5", "takes the name of a threshold as a literal"),
        ("threshold() > 0.5", "threshold() is called as"),
        ('threshold("limit", 1) > 0.5', "a category's code is a string"),
        ("has(prompt)", "has() takes a field"),
        ("size(prompt) > 1", "size() takes a string, a list or a map"),
        ("size() > 1", "size() is called as"),
        ("now() > 1", "there is no function now()"),
        ("flags.map(f, f) == flags", "there is no function .map()"),
        ("flags.exists(f)", "exists() is called as"),
        ("flags.exists(in, true)", "column 14: in is a word of the language"),
        ("flags.exists(while, true)", "while is a word of the language"),
        ("tenant.exists(t, true)", "goes through a list, not a string"),
        ("flags.exists(f, flags.exists(g, f == g))", "inside another macro is not offered"),
        ("tenant.startsWith(1)", "startsWith() takes strings, not an int"),
        ("tenant.matches(user_id)", "a pattern that is a literal string"),
        ('tenant.matches("(")', "not a pattern of RE2"),
        (r'tenant.matches("(a)\\1")', "not a pattern of RE2"),
        ('tenant == "\\d"', "there is no escape"),
        ('flags["a"] == "a"', "has no element by a string"),
        ("flags == [1]", "never equal"),
        ('flags == ["a", 1]', "all of one type"),
        ("{'a': 1}.a == 1", "maps are not offered"),
        ("1u == 1u", "bytes and unsigned numbers are not offered"),
        ("9223372036854775808 > 1", "the number is out of range"),
        ("1e999 > 1.0", "the number is out of range"),
        ("prompt.score >", "column 15: the expression is incomplete"),
        ("prompt.score > 0.5 )", "column 20: not CEL from here on"),
        ("tenant == 'a", "column 11: the string has no end"),
        ("(" * 60 + "true" + ")" * 60, "nested more than 40 levels deep"),
        ("true " + " " * 5_000, "4,000 at most"),
    ],
)
def test_an_expression_that_cannot_be(when, expected):
    (fault,) = faults(rule(when, name="the-rule"))
    assert fault.startswith("rule the-rule, line ")
    assert expected in fault


def test_all_faults_of_all_rules_are_found():
    found = faults(rule("a", name="one"), rule("true", name="two"), rule("b", name="three"))
    assert [fault.split(",")[0] for fault in found] == ["rule one", "rule three"]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"thresholds": {"limit": 1.5}}, "thresholds.limit: Input should be less than or equal"),
        ({"thresholds": {"limit": -0.1}}, "thresholds.limit: Input should be greater"),
        ({"thresholds": {"limit": "0.5"}}, "thresholds.limit: Input should be a valid number"),
        ({"categories": {"S1": {"x": 0.5}}}, "categories.S1: there is no threshold x"),
        ({"tenants": {"a": {"thresholds": {"x": 0.5}}}}, "tenants.a: there is no threshold x"),
        ({"tenants": {"a": {"inherits": "b"}}}, "there is no tenant b to inherit from"),
        ({"tenants": {"a": {"inherits": "a"}}}, "tenants.a: inherits from itself (a)"),
        ({"default": "none"}, "default: there is no action none"),
        ({"on_error": "none"}, "on_error: there is no action none"),
        ({"actions": ["allow", "log", "log", "review", "block"]}, "actions: log is there twice"),
        ({"rule": []}, "rule: Extra inputs are not permitted"),
        ({"effective_from": "2026-02-01", "effective_until": "2026-01-01"}, "is after"),
        ({"effective_from": "soon"}, "effective_from: Input should be a valid date"),
    ],
)
def test_a_policy_that_cannot_be(more, expected):
    (fault,) = faults(**more)
    assert expected in fault


def test_a_cycle_is_found_at_each_of_its_tenants():
    tenants = {"a": {"inherits": "b"}, "b": {"inherits": "c"}, "c": {"inherits": "b"}}
    found = faults(tenants=tenants)
    assert found == [
        "tenants.b: inherits from itself (c -> b)",
        "tenants.c: inherits from itself (b -> c)",
    ]


def test_two_rules_of_one_name_are_refused():
    assert faults(rule(), rule()) == ["rules: there are several of the name r"]


def test_a_rule_with_an_unknown_action_is_refused():
    (fault,) = faults(rule(action="ban"))
    assert "rule r: there is no action ban" in fault


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (b"", "Input should be a valid dictionary"),
        (b"- a", "Input should be a valid dictionary"),
        (b"a: [", "not YAML in line 2"),
        (b"\xff\xfe", "not UTF-8"),
        (b"a: &a [*a]", "Field required"),
        (b"[" * 5_000, "not YAML"),
    ],
)
def test_a_file_that_is_no_policy(held, expected):
    with pytest.raises(InvalidPolicy, match=r"policy\.yaml: ") as refused:
        parse_policy(held, "policy.yaml")
    assert expected in str(refused.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UnusableFile, match=r"none\.yaml cannot be read"):
        read_policy(tmp_path / "none.yaml")


STARTER_BYTES = STARTER.read_bytes()


def attempt(held):
    """The names of the rules of a policy, or why it is refused."""
    try:
        return {one.name for one in Policy(parse_policy(held, "policy.yaml")).file.rules}
    except InvalidPolicy as error:
        return str(error)


NAMES = attempt(STARTER_BYTES)


@given(st.integers(0, len(STARTER_BYTES)))
def test_a_half_written_file_is_refused_or_a_policy(end):
    found = attempt(STARTER_BYTES[:end])
    assert "\n" not in found if isinstance(found, str) else found <= NAMES


@given(st.text(max_size=60) | st.tuples(expressions, st.text(max_size=5)).map("".join))
def test_any_text_is_a_rule_or_refused_in_a_line(when):
    found = attempt(text(rule(when or " ")))
    assert found == {"r"} or ("\n" not in found and found.startswith("policy.yaml: "))


@pytest.mark.parametrize("operator", ["&&", "||"])
def test_long_chains_of_operators_are_no_nesting(operator):
    found = decide(policy(rule(f" {operator} ".join(["reasoned"] * 300))), reasoned=True)
    assert found.action == "block"


def test_conditions_inside_conditions_do_not_grow_without_limit():
    when = "reasoned"
    for _ in range(8):
        when = f"(({when}) ? prompt.score > 0.1 : prompt.score > 0.2)"
    (fault,) = faults(rule(when))
    assert "too many conditions inside each other" in fault


def test_five_thousand_rules_are_one_policy():
    made = policy(*(rule(f"prompt.score > {n / 5_000}", name=f"r{n}") for n in range(5_000)))
    found = decide(made, prompt={"label": "harmful", "score": 0.5})
    assert found.rules == tuple(f"r{n}" for n in range(2_500))


def test_no_text_of_a_policy_becomes_a_name_in_its_code():
    made = policy(
        rule('criteria["__import__"].score > 0.5', name="a"),
        rule('criteria.x.score > 0.5 || tenant.matches("open")', name="b"),
    )
    code = made.program.run.__code__
    names = {*code.co_names, *code.co_varnames, *made.program.run.__globals__}
    assert not [name for name in names if "import" in name or "open" in name]
    assert decide(made, criteria={"__import__": {"label": None, "score": 0.9}}).rules == ("a",)


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        ('"a\\n\\"b"', 'a\n"b'),
        ("'it\\'s'", "it's"),
        (r"r'\d'", r"\d"),
        ('"\\x41\\u00e9\\U0001F600\\101"', "Aé\U0001f600A"),
        ('"""a\n"b" """', 'a\n"b" '),
        ('""', ""),
    ],
)
def test_strings_are_read(literal, expected):
    assert read_string(literal) == expected
    assert parse(literal).value == expected


@pytest.mark.parametrize(
    "wrong", ["\\q", "\\xZZ", "\\u12", "\\ud800", "\\U00110000", "\\999", "\\1"]
)
def test_escapes_that_do_not_exist_are_refused(wrong):
    with pytest.raises(InvalidRule, match="there is no escape"):
        parse(f'tenant == "{wrong}"')


def test_a_string_without_an_end_takes_no_time():
    # the library's pattern takes exponential time for it
    assert unterminated_string('tenant == "' + "\\a" * 1_000) == 10
    assert unterminated_string("""a == "it's" // "no string\n && b == 'x'""") is None


def test_the_starter_keeps_the_schema():
    schema = Draft202012Validator(yaml.safe_load(documents()["policy.schema.json"]))
    assert list(schema.iter_errors(yaml.safe_load(STARTER_BYTES))) == []
    assert list(schema.iter_errors(yaml.safe_load(text(rule())))) == []
    assert list(schema.iter_errors(document(rule(when=""))))
