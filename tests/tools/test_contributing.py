"""The lists of CONTRIBUTING.md are followed in a copy; its pages name only what exists."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")

COPIED = ("worker", "monitoring", "helm", "docs/operations.md", "tests/unit/three_levels.py")
# what a list item's code is indented by: the item's text, and four spaces
CODE = " " * 7


class Step(NamedTuple):
    text: str
    code: str


def lists(page):
    """The steps of each list below a heading `### A ...`."""
    for name, body in re.findall(
        r"^### An? (.+?)\n(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL
    ):
        yield name, steps_of(body)


def steps_of(body):
    steps = []
    for item in re.split(r"^\d+\. ", body, flags=re.MULTILINE)[1:]:
        lines = item.splitlines()
        marked = [number for number, line in enumerate(lines) if line.startswith(CODE)]
        code = lines[marked[0] : marked[-1] + 1] if marked else []
        text = " ".join(line.strip() for line in lines[: marked[0] if marked else None])
        steps.append(Step(text, "".join(f"{line.removeprefix(CODE)}\n" for line in code)))
    return steps


LISTS = dict(lists(PAGE))


class Copy:
    """A copy of what the lists change."""

    def __init__(self, root):
        self.root = root
        for name in COPIED:
            source, target = ROOT / name, root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                # bytecode too: the modules that no step changes are not compiled again
                shutil.copytree(source, target)
            else:
                shutil.copy2(source, target)
        shutil.copy2(ROOT / "README.md", root)

    def read(self, name):
        return (self.root / name).read_text(encoding="utf-8")

    def follow(self, steps):
        for step in steps:
            self._take(step)

    def _take(self, step):
        if found := re.match(r"Copy `(.+?)` to `(.+?)`", step.text):
            shutil.copy2(self.root / found[1], self.root / found[2])
        elif found := re.match(r"Create `(.+?)`", step.text):
            (self.root / found[1]).write_text(step.code, encoding="utf-8")
        elif found := re.match(r"In `(.+?)`, (before|after) `(.+?)`, add", step.text):
            self._insert(self.root / found[1], found[2] == "after", found[3], step.code)
        elif found := re.match(r"Run `make (.+?)`", step.text):
            self._make(found[1])
        else:
            assert not step.code, f"nothing follows this step: {step.text}"

    def _insert(self, path, after, anchor, code):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        (at,) = [number for number, line in enumerate(lines) if anchor in line]
        lines.insert(at + after, code)
        path.write_text("".join(lines), encoding="utf-8")

    def _make(self, target):
        recipe = re.search(rf"^{target}:.*\n\t@\$\(BIN\)/python -m (.+)$", MAKEFILE, re.MULTILINE)
        assert recipe, f"make {target} runs no module"
        self.run("-m", *recipe[1].split())

    def run(self, *arguments, given="", **variables):
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd=self.root,
            env=os.environ | {"PYTHONPATH": str(self.root)} | variables,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def copy(tmp_path):
    return Copy(tmp_path)


def test_every_list_is_followed():
    assert LISTS.keys() == {"guard", "preset", "metric", "setting", "command"}
    assert all(len(steps) > 2 for steps in LISTS.values())


def test_a_guard(copy):
    copy.follow(LISTS["guard"])
    said = copy.run(
        "-m",
        "worker",
        "judge",
        given='{"id": "a", "prompt": "b"}\n',
        GUARDSTREAM_GUARD__NAME="three_levels",
        GUARDSTREAM_ENGINE__KIND="simulated",
    )
    verdict = orjson.loads(said)
    assert verdict["guard"]["name"] == "three_levels"
    assert verdict["criteria"]["self_harm"]["label"] in {"none", "some", "severe"}


def test_a_preset(copy):
    copy.follow(LISTS["preset"])
    line = '{"call_id": "a", "question": "b", "answer": "c", "case_id": "d"}'
    said = copy.run(
        "-m", "worker", "map", "--quiet", given=line, GUARDSTREAM_INPUT__MAPPING="support-desk"
    )
    event = orjson.loads(said)
    assert [event[name] for name in ("id", "prompt", "response", "conversation_id")] == list("abcd")
    refusal = (
        "from worker.decoding.events import decode_event\n"
        f"try: decode_event({line.encode()!r})\n"
        "except Exception as error: print(error)"
    )
    assert "set input.mapping to support-desk" in copy.run("-c", refusal)


SCRAPE = """
from prometheus_client import generate_latest
from worker.adapters.clock import SystemClock
from worker.domain.records import Partition, Record
from worker.flow.partition_queues import PartitionQueues, QueueBounds
from worker.telemetry import Telemetry

clock = SystemClock()
telemetry, queues = Telemetry(clock), PartitionQueues(QueueBounds())
queues.register_gauges(telemetry, clock)
for number in range(2):
    queues.put(Record(Partition("events", number), 1, 0, None, b"{}", (), 0, 0.0))
print(generate_latest(telemetry.registry).decode())
"""


def test_a_metric(copy):
    copy.follow(LISTS["metric"])
    assert "\nguardstream_queued_partitions 2.0\n" in copy.run("-c", SCRAPE)
    assert "| `guardstream_queued_partitions` | gauge |" in copy.read("docs/operations.md")
    board = copy.read("monitoring/grafana-dashboard.json")
    assert "guardstream_queued_partitions" in board
    assert copy.read("helm/guardstream/files/grafana-dashboard.json") == board


READ = "from worker.runtime.settings import load_settings; print(load_settings().batch.max_bytes)"


def test_a_setting(copy):
    copy.follow(LISTS["setting"])
    assert copy.run("-c", READ, GUARDSTREAM_BATCH__MAX_BYTES="7") == "7\n"
    assert "| `batch.max_bytes` |  | Maximum bytes of a batch. |" in copy.read("README.md")
    schema = json.loads(copy.read("helm/guardstream/values.schema.json"))
    assert schema["$defs"]["BatchSettings"]["properties"]["max_bytes"]["minimum"] == 1
    assert '"max_bytes"' in copy.read("schemas/settings.schema.json")


def test_a_command(copy):
    copy.follow(LISTS["command"])
    assert re.search(r"\bcount\b.* Count the lines on stdin\.", copy.run("-m", "worker", "--help"))
    assert copy.run("-m", "worker", "count", given="a\nb\n") == '{"lines":2}\n'


def test_a_step_that_names_a_missing_file_or_line_fails(copy):
    for step in (
        Step("Copy `tests/unit/missing.py` to `worker/guards/a.py`", ""),
        Step("In `worker/missing.py`, after `a`, add:", "x\n"),
        Step("In `worker/guards/__init__.py`, after `no such line`, add:", "x\n"),
        Step("Run `make missing`.", ""),
        Step("Do something with:", "x\n"),
    ):
        with pytest.raises((OSError, ValueError, AssertionError)):
            copy.follow([step])


def missing_from(page):
    """Files, targets and modules that a page names and that do not exist."""
    created = re.findall(r"^\d+\. (?:Copy `.+?` to|Create) `(.+?)`", page, re.MULTILINE)
    folders = "worker|tests|docs|monitoring|helm|benchmarks|requirements|training"
    for path in re.findall(rf"(?<![\w/])(?:{folders})/[\w./-]*\w", page):
        if path not in created and not (ROOT / path).exists():
            yield path
    for target in re.findall(r"make ([a-z-]+)`", page):
        if not re.search(rf"^{target}:", MAKEFILE, re.MULTILINE):
            yield f"make {target}"
    for module in re.findall(r"python -m ([\w.]+)", page):
        place = ROOT / module.replace(".", "/")
        if module != "pytest" and not (place.is_dir() or place.with_suffix(".py").exists()):
            yield module


@pytest.mark.parametrize("page", [PAGE, ARCHITECTURE], ids=["contributing", "architecture"])
def test_pages_name_what_exists(page):
    assert not list(missing_from(page))


def test_what_does_not_exist_is_found():
    page = "`worker/a.py`, `make b`, `python -m benchmarks.c`; `worker/cli`, `make test`."
    assert list(missing_from(page)) == ["worker/a.py", "make b", "benchmarks.c"]


def test_layers_and_packages_are_those_of_the_program():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (layers,) = [
        contract["layers"]
        for contract in project["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    ]
    assert "\n".join(f"    {layer}" for layer in layers) in ARCHITECTURE
    tour = re.findall(
        r"^    ([a-z, ]+?)  +\S", PAGE.partition("Each line imports")[0], re.MULTILINE
    )
    tour = tour[tour.index("cli") :]
    assert tour == [layer.replace(" |", ",") for layer in layers]
    shown = set(re.findall(r"^      (\w+)/  ", ARCHITECTURE, re.MULTILINE))
    packages = {
        path.name for path in (ROOT / "worker").iterdir() if path.is_dir() and path.name[0] != "_"
    }
    assert shown == packages
