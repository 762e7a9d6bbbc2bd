"""A rule means what CEL says: the library's own evaluator is the reference."""

from hypothesis import given, settings

from tests.unit.policy.expressions import expressions, reference, verdicts
from tests.unit.policy.policies import policy, rule, verdict_document
from worker.policy.judged import read_judged


def outcome(when, document):
    matched, failed = policy(rule(when)).matches(read_judged(document))
    return True if matched else None if failed else False


@settings(max_examples=200, deadline=None)
@given(expressions, verdicts)
def test_a_rule_means_what_the_library_makes_of_it(when, document):
    assert outcome(when, document) is reference(when, document)


def test_an_error_in_a_macro_is_absorbed_as_any_other():
    # of each the first operand fails on a score that is null
    unscored = {"task": "", "code": "S1", "name": "", "score": None}
    document = verdict_document(categories=[unscored])
    for failing in ("exists_one(c, c.score > 0.5)", "filter(c, c.score > 0.5).size() == 1"):
        assert outcome(f"categories.{failing} || true", document) is True
        assert outcome(f"categories.{failing} && false", document) is False
        assert outcome(f"categories.{failing}", document) is None


def test_a_negative_place_in_a_list_is_an_error():
    held = {"task": "", "code": "S1", "name": "", "score": 0.9}
    document = verdict_document(categories=[held])
    assert outcome("categories[0].score > 0.5", document) is True
    assert outcome("categories[-1].score > 0.5", document) is None
