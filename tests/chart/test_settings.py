"""`config` becomes the worker's settings, whole and without secrets."""

import json
import os
import re
from unittest.mock import patch

import pytest
import yaml

from helm.documents import default_settings
from tests.chart.release import EVERYTHING, VALUES, render, variables
from worker.runtime.settings import load_settings

SASL = {"security_protocol": "SASL_SSL"}


def expanded(value, given):
    """What Kubernetes makes of `$(NAME)`: the value of a variable that stands before."""
    return re.sub(r"\$\(([A-Z_]+)\)", lambda found: given[found[1]], value)


def loaded(release, tmp_path):
    """The settings as the worker in its pod reads them; Secrets and fields hold `guardstream-0`."""
    file = tmp_path / "settings.yaml"
    file.write_text(release.settings_text)
    given = {}
    for name, value in variables(release.worker).items():
        given[name] = expanded(value, given) if isinstance(value, str) else "guardstream-0"
    with patch.dict(os.environ, given):
        return load_settings(file)


@pytest.mark.parametrize("file", [*VALUES, EVERYTHING], ids=lambda file: file.stem)
def test_the_worker_takes_the_settings_of_every_values_file(file, tmp_path):
    given = yaml.safe_load(file.read_text())["config"]
    settings = loaded(render(file), tmp_path).model_dump(mode="json")
    for group, values in given.items():
        for name, value in values.items():
            assert settings[group][name] == value, f"{group}.{name}"


def test_every_setting_goes_through(tmp_path):
    settings = yaml.safe_load(default_settings())
    del settings["kafka"]["password"], settings["input"]["group_instance_id"]
    release = render(config=settings)
    assert release.settings == settings
    assert loaded(release, tmp_path).model_dump() == load_settings().model_dump()


def test_large_numbers_stay_whole(tmp_path):
    extra = {"kv_cache_memory_bytes": 1 << 34, "enforce_eager": True, "swap_space": 0.5}
    release = render(config={"engine": {"extra": extra}, "batch": {"max_tokens": 1_000_000}})
    settings = loaded(release, tmp_path)
    for name, value in extra.items():
        found = settings.engine.extra[name]
        assert (type(found), found) == (type(value), value)
    assert settings.batch.max_tokens == 1_000_000


def test_texts_stay_texts(tmp_path):
    # each is something else to one YAML or the other
    texts = ["1e10", "1_000", "12:30:45", "0x1f", "0o7", "010", ".5", "on", "true", "null", "~"]
    texts += ["2026-01-01", "=", "<<", "a: b", "# c", "", " d ", "e\nf", "- g", "{{ h }}", "é", "%"]
    release = render(config={"engine": {"extra": {str(n): t for n, t in enumerate(texts)}}})
    found = loaded(release, tmp_path).engine.extra
    assert [found[str(n)] for n in range(len(texts))] == texts


def test_a_revision_of_digits_reaches_the_download(tmp_path):
    release = render(config={"engine": {"model": "a/b", "revision": "1234e10"}})
    assert loaded(release, tmp_path).engine.revision == "1234e10"
    assert "--revision=1234e10" in release.pod["initContainers"][0]["args"]


def test_other_settings_make_other_pods():
    def checksum(**values):
        return render(**values).workload["spec"]["template"]["metadata"]["annotations"][
            "checksum/config"
        ]

    assert checksum() == checksum(workload={"replicas": 0})
    assert checksum() != checksum(config={"batch": {"max_records": 32}})
    assert checksum() != checksum(tls={"existingSecret": "guardstream-tls"})


def test_the_worker_reads_the_file_that_is_mounted():
    release = render()
    where = variables(release.worker)["GUARDSTREAM_CONFIG"]
    (mount,) = (m for m in release.worker["volumeMounts"] if m["mountPath"] == where)
    (volume,) = (v for v in release.pod["volumes"] if v["name"] == mount["name"])
    assert volume["configMap"]["name"] == "guardstream"
    assert mount["subPath"] in release.one("ConfigMap", "guardstream")["data"]


def test_credentials_come_from_the_secret_and_stand_in_no_manifest():
    release = render(
        config={"kafka": SASL},
        credentials={"existingSecret": "kafka-login", "passwordKey": "secret"},
    )
    assert not release.has("Secret")
    assert not {"username", "password"} & release.settings["kafka"].keys()
    given = variables(release.worker)
    for name, key in (("USERNAME", "username"), ("PASSWORD", "secret")):
        assert given[f"GUARDSTREAM_KAFKA__{name}"] == {
            "secretKeyRef": {"name": "kafka-login", "key": key}
        }


def test_certificates_are_mounted_where_the_settings_look(tmp_path):
    release = render(
        config={"kafka": {"security_protocol": "SSL"}},
        tls={"existingSecret": "t", "certificateKey": "tls.crt", "privateKeyKey": "tls.key"},
    )
    kafka = loaded(release, tmp_path).kafka
    (mount,) = (m for m in release.worker["volumeMounts"] if m["name"] == "tls")
    (volume,) = (v for v in release.pod["volumes"] if v["name"] == "tls")
    assert volume["secret"]["secretName"] == "t"
    assert {str(kafka.ca_file), str(kafka.certificate_file), str(kafka.key_file)} == {
        f"{mount['mountPath']}/{key}" for key in ("ca.crt", "tls.crt", "tls.key")
    }


def test_the_worker_knows_the_variables_of_the_chart(tmp_path):
    # it refuses those of its prefix that it does not know
    settings = loaded(render(EVERYTHING), tmp_path)
    # namespace.release.pod; fields hold `guardstream-0` here
    assert settings.input.group_instance_id == "guardstream-0.guardstream.guardstream-0"
    assert settings.kafka.username == "guardstream-0"
    assert settings.kafka.password.get_secret_value() == "guardstream-0"


def test_no_service_of_the_namespace_slips_variables_in():
    # a Service named guardstream would make GUARDSTREAM_PORT, and the worker would not start
    for pod in render(EVERYTHING).pods:
        assert pod["enableServiceLinks"] is False


def test_the_topics_job_reads_the_same_settings():
    release = render(EVERYTHING)
    assert release.one("ConfigMap", "guardstream-topics")["data"] == {
        "settings.yaml": release.settings_text
    }
    assert json.dumps(release.settings).find("password") == -1
