"""The chart's manifests, as helm renders them."""

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from helm.documents import CHART

Json = dict[str, Any]
RELEASE = "guardstream"
NAMESPACE = "moderation"


class Refused(Exception):  # noqa: N818 - it says what happened
    """Helm rejects these values; the message is helm's."""


def run(helm: Path, *arguments: str) -> str:
    """The output of helm.

    Raises:
        Refused: it failed.
    """
    # ignore the user's kubeconfig and plugins
    with tempfile.TemporaryDirectory() as home:
        names = ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")
        ran = subprocess.run(  # noqa: S603 - helm, by its path
            [str(helm), *arguments],
            env=os.environ | dict.fromkeys(names, home) | {"KUBECONFIG": os.devnull},
            capture_output=True,
            text=True,
            check=False,
        )
    if ran.returncode != 0:
        raise Refused((ran.stdout + ran.stderr).strip())
    return ran.stdout


def render(
    helm: Path,
    files: Sequence[Path] = (),
    values: Json | None = None,
    *,
    kubernetes: str = "1.34",
    chart: Path = CHART,
) -> list[Json]:
    """The manifests for these values files, and for `values` over them.

    Raises:
        Refused: the values are wrong.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as given:
        # JSON: helm's YAML parses some plain strings as numbers that Python's does not (1e10)
        json.dump(values or {}, given)
        given.flush()
        named = [f"--values={path}" for path in (*files, given.name)]
        text = run(
            *(helm, "template", RELEASE, str(chart), f"--namespace={NAMESPACE}", *named),
            f"--kube-version=v{kubernetes}.0",
        )
    return [document for document in yaml.safe_load_all(text) if document]
