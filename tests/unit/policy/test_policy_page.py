"""What docs/policy.md shows is what policies do."""

import re
from pathlib import Path

import pytest
import yaml

from tests.unit.policy.policies import policy, rule
from worker.operator.policies.cases import Case, check_case
from worker.policy.file import parse_policy
from worker.policy.functions import FUNCTIONS, METHODS
from worker.policy.macros import MACROS
from worker.policy.policy import Policy
from worker.policy.types import NAMES
from worker.runtime.settings import load_settings
from worker.runtime.topics import names_of, output_topics

PAGE = (Path(__file__).parents[3] / "docs" / "policy.md").read_text(encoding="utf-8")
(POLICY,) = re.findall(r"```yaml policy\n(.*?)```", PAGE, re.DOTALL)
(CASES,) = re.findall(r"```yaml cases\n(.*?)```", PAGE, re.DOTALL)
(SETTINGS,) = re.findall(r"```yaml settings\n(.*?)```", PAGE, re.DOTALL)
_FORMS = PAGE.partition("| form | example |")[2].partition("\n\n")[0]
CONDITIONS = [
    when
    for when in re.findall(r"`([^`]+)`", _FORMS)
    if re.search(r"[ (]", when) and not when.startswith("matches")
]


@pytest.mark.parametrize("case", [Case.model_validate(one) for one in yaml.safe_load(CASES)])
def test_the_cases_are_decided_as_shown(case):
    made = Policy(parse_policy(POLICY.encode(), "policy.md"))
    assert check_case(made, case, 1_790_000_000.0).differences == ()


def test_there_are_conditions():
    assert len(CONDITIONS) > 10


@pytest.mark.parametrize("when", CONDITIONS)
def test_the_conditions_can_be_used(when):
    assert policy(rule(when)).program is not None


@pytest.mark.parametrize("name", [*NAMES, *FUNCTIONS, *METHODS, *MACROS])
def test_all_names_and_functions_are_described(name):
    assert re.search(rf"\b{name}\b", PAGE)


def test_the_settings_are_settings():
    settings = load_settings(**yaml.safe_load(SETTINGS))
    assert settings.policy.shadow_file != settings.policy.file
    assert settings.output.decision_topic in names_of(output_topics(settings))


def test_only_a_policy_that_acts_needs_a_topic():
    for given in ({}, {"shadow_file": "next.yaml"}):
        settings = load_settings(policy=given)
        assert settings.output.decision_topic not in names_of(output_topics(settings))
