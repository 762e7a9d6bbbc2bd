"""Validation of the chart: helm lint, and the schemas of several Kubernetes versions."""

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
from kubernetes_validate import utils

from helm.documents import CHART
from helm.rendering import Refused, render, run

Json = dict[str, Any]

# the oldest that Chart.yaml allows, the newest with schemas, and one between
VERSIONS = ("1.31", "1.34", "1.37")
# custom resources without a schema here; tests/chart checks their fields
FOREIGN = ("monitoring.coreos.com/v1", "keda.sh/v1alpha1")


def values_files() -> list[Path]:
    """The values files for users, and the one that enables everything."""
    return sorted((CHART / "values").glob("*.yaml")) + sorted((CHART / "ci").glob("*.yaml"))


def faults(helm: Path, progress: Callable[[str], None]) -> Iterator[str]:
    """The problems of the chart, one sentence each."""
    # every call would read megabytes of schemas again
    utils.schema_contents = functools.cache(utils.schema_contents)
    valid: set[tuple[str, str]] = set()
    for path in (CHART / "values.yaml", *values_files()):
        name = str(path.relative_to(CHART))
        try:
            run(helm, "lint", "--strict", str(CHART), f"--values={path}")
        except Refused as refusal:
            yield f"{name}: helm lint: {refusal}"
        for version in VERSIONS:
            try:
                manifests = render(helm, [path], kubernetes=version)
            except Refused as refusal:
                yield f"{name}: helm template: {refusal}"
                continue
            yield from _against_schemas(name, manifests, version, valid)
            progress(f"{name}: {len(manifests)} manifests for Kubernetes {version}")


def _against_schemas(
    name: str, manifests: list[Json], version: str, valid: set[tuple[str, str]]
) -> Iterator[str]:
    for manifest in manifests:
        key = (version, json.dumps(manifest, sort_keys=True))
        if manifest["apiVersion"] in FOREIGN or key in valid:
            continue
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except (
            kubernetes_validate.ValidationError,
            kubernetes_validate.SchemaNotFoundError,
        ) as error:
            where = ".".join(str(part) for part in getattr(error, "absolute_path", ()))
            what = f"{manifest['kind']} {manifest['metadata']['name']} {where}"
            yield f"{name}: Kubernetes {version}: {what}: {error.message}"
        else:
            valid.add(key)
