import pytest

from worker.domain.errors import WrongSetting
from worker.runtime.connection import build_connection
from worker.runtime.settings import load_settings


def test_the_environment_beats_the_file(tmp_path, monkeypatch):
    file = tmp_path / "settings.yaml"
    file.write_text("batch: {max_records: 7, linger_seconds: 0.5}\n")
    monkeypatch.setenv("GUARDSTREAM_BATCH__MAX_RECORDS", "9")
    settings = load_settings(file)
    assert (settings.batch.max_records, settings.batch.linger_seconds) == (9, 0.5)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("GUARDSTREAM_BATCH__MAX_RECORDS", "0", "batch.max_records"),
        ("GUARDSTREAM_BATCH__MAX_RECORD", "1", "no setting batch.max_record "),
        ("GUARDSTREAM_BATHC__MAX_RECORDS", "1", "no setting GUARDSTREAM_BATHC__MAX_RECORDS"),
        ("GUARDSTREAM_INPUT__TOPICS", "chat", "JSON"),
        ("GUARDSTREAM_DELIVERY__GUARANTEE", "at_most_once", "delivery.guarantee"),
    ],
)
def test_a_wrong_variable_is_named_in_one_line(monkeypatch, variable, value, said):
    monkeypatch.setenv(variable, value)
    with pytest.raises(WrongSetting) as caught:
        load_settings()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["nonsense: {a: 1}", "- a\n- b", "a: [", "batch: {max_records: x}"]
)
def test_a_wrong_file_is_one_line(tmp_path, text):
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    with pytest.raises(WrongSetting) as caught:
        load_settings(file)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WrongSetting, match="is not there"):
        load_settings(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("kafka", "said"),
    [
        ({"security_protocol": "SASL_SSL"}, "PLAIN needs kafka.username and kafka.password_file"),
        (
            {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"},
            "OAUTHBEARER needs kafka.oauth.token_endpoint_url and kafka.oauth.client_id",
        ),
        (
            {"password": "x", "password_file": "/run/secrets/kafka"},
            "kafka.password and kafka.password_file are both set",
        ),
        ({"oauth": {"token_endpoint_url": "file:///etc/passwd"}}, "kafka.oauth.token_endpoint_url"),
    ],
)
def test_half_a_way_to_say_who_one_is_is_named(kafka, said):
    with pytest.raises(WrongSetting) as caught:
        load_settings(kafka=kafka)
    assert said in str(caught.value)


def test_a_secret_is_in_no_representation():
    settings = load_settings(
        kafka={"password": "hush-1", "oauth": {"client_secret": "hush-2"}, "username": "worker"}
    )
    assert "hush" not in repr(settings)
    assert "hush" not in repr(build_connection(settings))
