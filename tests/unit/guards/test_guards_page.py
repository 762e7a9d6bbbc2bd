"""What docs/guards.md shows is what the program does."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from tests.unit.guards.declared import Engine, declared
from worker.domain.events import Exchange
from worker.guards import GUARDS
from worker.guards.declared.loading import path_of, read_description, shipped
from worker.guards.declared.reading import FLAGS

PAGE = (Path(__file__).parents[3] / "docs" / "guards.md").read_text(encoding="utf-8")
(OWN,) = re.findall(r"```yaml mine\n(.*?)```", PAGE, re.DOTALL)


def test_the_description_is_a_guard(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(OWN)
    guard = declared(path)
    judgement = Engine("Harmful: no", "yes").judge(guard, Exchange("a", "b"))
    assert {name: one.label for name, one in judgement.readings.items()} == {
        guard.questions[0].name: "unharmful",
        "insult": "yes",
    }


def test_each_guard_has_a_row():
    for name in (*GUARDS, *shipped()):
        assert f"| `{name}` |" in PAGE
    for name in shipped():
        assert read_description(path_of(name)).licence.partition(" ")[0] in PAGE


def test_every_flag_is_on_the_page():
    assert all(f"`{flag}`" in PAGE for flag in FLAGS)


def test_the_settings_are_usable():
    (text,) = re.findall(r"\n\n((?:    .*\n)+)\n`guard.options`", PAGE)
    held = yaml.safe_load(text)["guard"]
    guard = declared(held["name"], options=held["options"])
    said = Engine("Safety: Controversial\nCategories: PII").judge(guard, Exchange("a", None))
    assert [one.label for one in said.readings.values()] == ["harmful"]


def test_parse_reads_the_line():
    line = re.search(r"echo '(.*)' \|", PAGE)[1]
    done = subprocess.run(
        [sys.executable, "-m", "worker", "parse"],
        input=line,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"GUARDSTREAM_GUARD__NAME": "qwen3guard"},
    )
    found = json.loads(done.stdout)
    assert found["status"] == "complete"
    assert [one["code"] for one in found["categories"]] == ["PII"]
    assert found["severity"] == "Unsafe"
