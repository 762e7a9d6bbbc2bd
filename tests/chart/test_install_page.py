"""The commands of docs/install.md do what they say: helm takes them, and its values are values."""

import re
import shlex

import pytest
import yaml

from helm import program
from helm.documents import CHART, ROOT
from helm.rendering import run
from tests.chart.release import render

PAGE = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
CODE = re.sub(r"\\\n\s+", "", PAGE)
INSTALLS = re.findall(r"^ +helm (?:install|upgrade) (.+)$", CODE, re.MULTILINE)
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
MINE = BLOCKS[0]


@pytest.mark.parametrize("line", INSTALLS)
def test_helm_takes_the_command(line, tmp_path, monkeypatch):
    mine = tmp_path / "mine.yaml"
    mine.write_text(MINE)
    monkeypatch.chdir(ROOT)
    line = line.replace("mine.yaml", str(mine)).replace("$REVISION", "0123abc")
    arguments = shlex.split(re.sub(r" --timeout \S+| --create-namespace", "", line))
    text = run(program.find(), "template", *arguments, "--kube-version=v1.34.0")
    kinds = {manifest["kind"] for manifest in yaml.safe_load_all(text) if manifest}
    assert kinds & {"Deployment", "StatefulSet"}


@pytest.mark.parametrize("block", BLOCKS)
def test_values_on_the_page_are_taken(block):
    values = {"model": {"cache": {"enabled": False}}} | yaml.safe_load(MINE)
    assert render(**values | yaml.safe_load(block)).workload


def test_the_page_has_every_values_file_and_names_what_is_there():
    assert len(INSTALLS) >= 6
    known = (CHART / "README.md").read_text() + (ROOT / "README.md").read_text()
    groups = r"(?:model|topics|image|probes|shutdown|gpu|scheduling|networkPolicy|workload|lag)"
    for name in re.findall(rf"`({groups}\.[\w.]+)`", PAGE):
        assert f"{name}`" in known or f"{name}.*`" in known, name
