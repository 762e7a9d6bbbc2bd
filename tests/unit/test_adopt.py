"""What docs/adopt.md shows is what the mappings do."""

import re
from pathlib import Path

import orjson
import pytest
import yaml

from worker.decoding.decoder import EventDecoder
from worker.decoding.expressions import Expression, InvalidExpression
from worker.decoding.mapping import (
    EventFields,
    EventMapping,
    MappingFile,
    load_mapping,
    presets,
)
from worker.domain.events import Exchange
from worker.domain.records import record_of_line

PAGE = (Path(__file__).parents[2] / "docs" / "adopt.md").read_text(encoding="utf-8")
RECORDS = dict(re.findall(r"```json (\S+)\n(.*?)```", PAGE, re.DOTALL))
(OWN,) = re.findall(r"```yaml mine\n(.*?)```", PAGE, re.DOTALL)
CALLS = re.findall(r"^\| `(\w+\(.*?\))` \| `(.*?)` \| `(.*?)` \|$", PAGE, re.MULTILINE)


def mapping_of(name):
    if name == "mine":
        return EventMapping(MappingFile.model_validate(yaml.safe_load(OWN)), name)
    return load_mapping(name)


@pytest.mark.parametrize("name", RECORDS)
def test_an_example_is_judged(name):
    decoder = EventDecoder(mapping=mapping_of(name))
    event, exchange = decoder.decode_one(
        record_of_line("t", 0, orjson.dumps(orjson.loads(RECORDS[name])), 0.0)
    )
    assert exchange == Exchange("How do I bake bread?", "With flour.")
    expected = {"mine": "7", "bedrock-converse": None}.get(name, "c-7")
    assert event.conversation_id == expected


def test_each_preset_has_a_section_a_record_and_its_setting():
    assert RECORDS.keys() - {"mine"} == set(presets())
    for name in presets():
        section = PAGE.partition(f"\n### {name}\n")[2].partition("\n### ")[0]
        assert f"GUARDSTREAM_INPUT__MAPPING={name}" in section
        assert f"(#{name})" in PAGE


@pytest.mark.parametrize(("expression", "given", "found"), CALLS)
def test_an_example_of_a_function(expression, given, found):
    assert Expression(expression).evaluate(orjson.loads(given)) == orjson.loads(found)


def test_every_function_and_key_is_on_the_page():
    own = {"chain", "is_stream", "merge_by", "messages_of", "otlp", "parse_body", "parse_json"}
    assert {call.partition("(")[0] for call, _, _ in CALLS} == own | {"text_of", "time"}
    for key in MappingFile.model_fields.keys() - {"redacted", "event"}:
        assert f"`{key}`" in PAGE
    for field in EventFields.model_fields:
        assert f"`event.{field}`" in PAGE


def test_the_negation_that_the_page_warns_of_is_refused():
    with pytest.raises(InvalidExpression):
        Expression("!a.b")
