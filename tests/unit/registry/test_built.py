"""The reader of values that the settings name."""

import pytest

from worker.adapters.registry.reader import RegistryReader
from worker.decoding.values import JsonReader
from worker.domain.errors import WrongSetting
from worker.runtime import values
from worker.runtime.settings import load_settings
from worker.runtime.values import build_value_reader

URL = "https://registry.example/apis/ccompat/v7"


def registry(**settings):
    return load_settings(input={"framing": "registry", "registry": {"url": URL, **settings}})


@pytest.mark.parametrize("framing", ["none", "confluent"])
def test_json_is_read_without_a_registry(framing):
    settings = load_settings(input={"framing": framing, "registry": {"url": URL}})
    assert isinstance(build_value_reader(settings), JsonReader)


def test_a_registry_is_asked_where_the_framing_says_so():
    assert isinstance(build_value_reader(registry(username="me", password="hush")), RegistryReader)
    assert "hush" not in repr(registry(password="hush"))


def test_missing_packages_are_named(monkeypatch):
    packages = {"google.protobuf": "protobuf", "not_there": "fastavro", "not.there": "grpcio-tools"}
    monkeypatch.setattr(values, "_PACKAGES", packages)
    with pytest.raises(WrongSetting, match=r"needs fastavro and grpcio-tools: .* \[registry\]"):
        build_value_reader(registry())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": None}, "input.framing registry needs input.registry.url"),
        ({"url": "file:///etc/passwd"}, "input.registry.url"),
        ({"url": "https://me:hush@registry.example"}, "input.registry.url holds credentials"),
        ({"password": "hush", "password_file": "/run/x"}, "input.registry.password_file are both"),
        ({"token_file": "/run/x", "username": "me"}, "input.registry.username are both set"),
        ({"cache_schemas": 63}, "input.registry.cache_schemas"),
    ],
)
def test_settings_that_do_not_fit_are_named(settings, said):
    with pytest.raises(WrongSetting) as caught:
        registry(**settings)
    assert said in str(caught.value)
    assert "hush" not in str(caught.value)
