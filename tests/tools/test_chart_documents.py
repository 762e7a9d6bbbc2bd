"""The chart's generated files: made anew they are the same. No helm is needed for that."""

import tomllib

import yaml
from jsonschema import Draft202012Validator

from helm.documents import CHART, ROOT, documents, schema, secret_settings
from worker.runtime.settings import Settings


def test_the_committed_files_are_what_values_and_settings_say():
    committed = {name: (CHART / name).read_text(encoding="utf-8") for name in documents()}
    assert committed == documents(), "run: make chart"


def test_the_chart_installs_the_version_that_it_comes_with():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == project["version"]


def test_the_schema_is_one_and_takes_the_defaults():
    Draft202012Validator.check_schema(schema())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    assert list(Draft202012Validator(schema()).iter_errors(defaults)) == []


def test_config_has_every_setting_of_the_worker():
    definitions = schema()["$defs"]
    for group, field in Settings.model_fields.items():
        name = definitions["Settings"]["properties"][group]["$ref"].rpartition("/")[2]
        assert definitions[name]["properties"].keys() == type(field.default).model_fields.keys()


def test_passwords_are_known_as_secrets():
    assert ["kafka", "password"] in yaml.safe_load(secret_settings())["paths"]
