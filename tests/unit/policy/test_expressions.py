"""A rule means what CEL says: the library's own evaluator is the reference."""

from hypothesis import given, settings

from tests.unit.policy.expressions import expressions, reference, verdicts
from tests.unit.policy.policies import policy, rule
from worker.policy.judged import read_judged


def outcome(when, document):
    matched, failed = policy(rule(when)).matches(read_judged(document))
    return True if matched else None if failed else False


@settings(max_examples=200, deadline=None)
@given(expressions, verdicts)
def test_a_rule_means_what_the_library_makes_of_it(when, document):
    assert outcome(when, document) is reference(when, document)
