"""What the README shows is what the program does."""

import re
from pathlib import Path

import orjson
import pytest
from jsonschema import Draft202012Validator
from typer.main import get_command

from worker.cli import app, register
from worker.decoding.events import decode_event
from worker.domain.events import judged_exchange
from worker.operator.schemas import documents
from worker.runtime.settings import Settings, settings_table

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```json (event|verdict)\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize(("kind", "text"), EXAMPLES)
def test_examples_keep_the_schemas(kind, text):
    schema = orjson.loads(documents()[f"{kind}.schema.json"])
    assert list(Draft202012Validator(schema).iter_errors(orjson.loads(text))) == []


@pytest.mark.parametrize("text", [text for kind, text in EXAMPLES if kind == "event"])
def test_example_events_are_judged(text):
    assert judged_exchange(decode_event(text.encode())).prompt == "How do I bake bread?"


def test_the_table_names_every_setting():
    assert settings_table() in README, "run: make chart"


def test_variables_and_commands_exist():
    for group, name in re.findall(r"GUARDSTREAM_([A-Z]+)__([A-Z_]+)", README):
        assert name.lower() in type(Settings.model_fields[group.lower()].default).model_fields
    register()
    commands = get_command(app).commands
    for command in re.findall(r"^    guardstream ([a-z]+)", README, re.MULTILINE):
        assert command in commands, command
