from pathlib import Path

import orjson
import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError

from worker.decoding.events import decode_event
from worker.demo.samples import sample_lines
from worker.domain.errors import RecordError
from worker.operator.schemas import documents

FOLDER = Path(__file__).parents[2] / "schemas"


def test_the_committed_schemas_are_what_the_models_say():
    committed = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    assert committed == documents(), "run: make schemas"


@pytest.mark.parametrize("name", [n for n in documents() if n.endswith(".json")])
def test_they_are_valid_schemas(name):
    meta = Draft202012Validator(Draft202012Validator.META_SCHEMA)
    assert list(meta.iter_errors(orjson.loads(documents()[name]))) == []


def test_every_reference_of_the_asyncapi_document_is_there():
    def references(node):
        if isinstance(node, dict):
            for key, value in node.items():
                yield from [value] if key == "$ref" else references(value)

    document = yaml.safe_load(documents()["asyncapi.yaml"])
    for reference in references(document):
        if reference.startswith("./"):
            assert reference[2:] in documents()
        else:
            node = document
            for part in reference.removeprefix("#/").split("/"):
                node = node[part]


def test_schema_and_decoder_agree_on_the_samples():
    validator = Draft202012Validator(orjson.loads(documents()["event.schema.json"]))
    for line in sample_lines():
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if "specversion" in value:
            continue
        try:
            decode_event(line)
            decoded = True
        except RecordError:
            decoded = False
        try:
            validator.validate(value)
        except ValidationError:
            assert not decoded, value
        else:
            assert decoded, value
