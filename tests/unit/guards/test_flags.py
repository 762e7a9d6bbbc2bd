"""Each flag that a verdict can have is explained."""

import re
from pathlib import Path

from worker.adapters.simulated import SimulatedEngine
from worker.decoding.conversation import NOT_ALL_TEXT
from worker.domain.events import CONTEXT_TRUNCATED
from worker.domain.judgements import COMMON_FLAGS
from worker.guards import guardreasoner
from worker.guards.guardreasoner.flags import FLAGS
from worker.guards.guardreasoner.prompt import imitations

PAGE = (Path(__file__).parents[3] / "docs" / "operations.md").read_text(encoding="utf-8")
MODULES = [
    path.read_text(encoding="utf-8")
    for path in Path(guardreasoner.__file__).parent.glob("*.py")
    if path.name != "flags.py"
]


def test_the_page_explains_each_flag_as_the_program_does():
    section = PAGE.partition("\n## Inspecting a verdict\n")[2].partition("\n## ")[0]
    found = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE))
    assert found == {**COMMON_FLAGS, **FLAGS}


def test_flags_of_the_exchange_and_of_the_engine_are_explained():
    of_exchanges = {NOT_ALL_TEXT, CONTEXT_TRUNCATED}
    assert {*SimulatedEngine.flags, *of_exchanges} == COMMON_FLAGS.keys()
    assert set(imitations("Answers: <|eot_id|>", None)) <= FLAGS.keys()


def test_each_flag_that_is_explained_is_set_somewhere():
    for flag in FLAGS:
        assert any(f'"{flag}"' in module for module in MODULES), flag


def test_each_flag_that_is_set_is_explained():
    named = re.compile(r'flags\.(?:append|insert)\((?:0, )?"(\w+)"\)')
    found = {flag for module in MODULES for flag in named.findall(module)}
    assert len(found) > 10
    assert found <= FLAGS.keys()
