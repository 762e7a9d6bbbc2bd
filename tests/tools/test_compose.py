"""compose.yaml and what it mounts fit each other, the settings and the Dockerfile."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from worker.runtime.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]
SERVICES = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_what_is_mounted_is_there():
    mounts = [m for service in SERVICES.values() for m in service.get("volumes", ())]
    assert mounts
    for mount in mounts:
        assert (ROOT / mount.partition(":")[0]).is_file(), mount


def test_the_worker_understands_its_environment(monkeypatch):
    for name, value in SERVICES["worker"]["environment"].items():
        monkeypatch.setenv(name, value)
    assert (
        load_settings().kafka.bootstrap_servers
        in (SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"])
    )


def test_the_topics_are_the_default_ones():
    made = SERVICES["topics"]["command"][0]
    settings = Settings()
    output = settings.output
    for topic in (*settings.input.topics, output.verdict_topic, output.dead_letter_topic):
        assert topic in made


def test_the_worker_is_built_as_the_dockerfile_names_it():
    target = SERVICES["worker"]["build"]["target"]
    assert re.search(rf"^FROM \S+ AS {target}$", DOCKERFILE, re.MULTILINE)
    # Kubernetes refuses a user by name where it must not be root
    assert re.findall(r"^USER (?!root)(.*)$", DOCKERFILE, re.MULTILINE) == ["2000:0"] * 2
    assert any("uid=2000" in mount for mount in SERVICES["worker"]["tmpfs"])


def test_prometheus_scrapes_the_workers_port():
    text = (ROOT / "compose" / "prometheus.yaml").read_text(encoding="utf-8")
    (target,) = yaml.safe_load(text)["scrape_configs"][0]["static_configs"][0]["targets"]
    assert target == f"worker:{Settings().health.port}"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here")
def test_prometheus_takes_its_settings(tmp_path):
    for file in ("compose/prometheus.yaml", "monitoring/prometheus-rules.yaml"):
        shutil.copy(ROOT / file, tmp_path)
    command = ["promtool", "check", "config", str(tmp_path / "prometheus.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
