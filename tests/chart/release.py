"""A release of the chart as tests look at it."""

import json
from functools import cache
from pathlib import Path

import yaml

from helm import program, rendering
from helm.documents import CHART

VALUES = sorted((CHART / "values").glob("*.yaml"))
EVERYTHING = CHART / "ci" / "everything.yaml"


class Release:
    def __init__(self, manifests):
        self.manifests = manifests

    def all(self, kind):
        return [m for m in self.manifests if m["kind"] == kind]

    def one(self, kind, name=None):
        (found,) = (m for m in self.all(kind) if name in (None, m["metadata"]["name"]))
        return found

    def has(self, kind):
        return bool(self.all(kind))

    @property
    def workload(self):
        (found,) = self.all("Deployment") + self.all("StatefulSet")
        return found

    @property
    def pod(self):
        return self.workload["spec"]["template"]["spec"]

    @property
    def worker(self):
        (found,) = self.pod["containers"]
        return found

    @property
    def pods(self):
        """Of the workers and of every Job."""
        jobs = [job["spec"]["template"]["spec"] for job in self.all("Job")]
        return [self.pod, *jobs]

    @property
    def containers(self):
        return [
            container
            for pod in self.pods
            for container in (*pod.get("initContainers", ()), *pod["containers"])
        ]

    @property
    def settings_text(self):
        return self.one("ConfigMap", "guardstream")["data"]["settings.yaml"]

    @property
    def settings(self):
        return yaml.safe_load(self.settings_text)


def variables(container):
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container["env"]}


def render(*files, **values):
    return Release(_render(files, json.dumps(values)))


@cache
def _render(files, values):
    return rendering.render(program.find(), [Path(file) for file in files], json.loads(values))
