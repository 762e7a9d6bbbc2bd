"""`guardstream config`: the settings as operators see, check and write them."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from worker.cli import app, register
from worker.domain.errors import WrongSetting
from worker.runtime.settings import Settings, load_settings
from worker.runtime.settings.lint import lint_settings
from worker.runtime.settings.model import settings_list
from worker.runtime.settings.schema import settings_schema
from worker.runtime.settings.starter import starter_file

register()


def config(*arguments, **variables):
    return CliRunner().invoke(app, ["config", *map(str, arguments)], env=variables)


def linted(tmp_path, text="", **variables):
    """The lines that `lint` prints of a file, without its folder, and the exit code."""
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    done = config("lint", file, **variables)
    return done.stdout.replace(f"{tmp_path}/", "").splitlines(), done.exit_code


def test_lint_counts_what_is_set(tmp_path):
    text = "batch: {max_records: 7}\ninput:\n  topics: [a]\nbreaker:\n"
    lines, code = linted(tmp_path, text, GUARDSTREAM_LOG__LEVEL="debug")
    assert (lines, code) == (["3 settings are set, no faults"], 0)
    assert linted(tmp_path, "batch: {max_records: 7}")[0] == ["1 setting is set, no faults"]


# each a file, variables, and the lines of `lint`
FAULTS = {
    "unknown key": (
        "batch:\n  max_record: 7",
        {},
        (
            "settings.yaml:2: batch.max_record: there is no such setting;"
            " did you mean batch.max_records?"
        ),
    ),
    "another case": (
        "batch:\n  maxRecords: 7",
        {},
        (
            "settings.yaml:2: batch.maxRecords: there is no such setting;"
            " did you mean batch.max_records?"
        ),
    ),
    "capitals": (
        "batch:\n  MAX_RECORDS: 7",
        {},
        (
            "settings.yaml:2: batch.MAX_RECORDS: there is no such setting;"
            " did you mean batch.max_records?"
        ),
    ),
    "a name that several groups have": (
        "password_file: a",
        {},
        (
            "settings.yaml:1: password_file: there is no such setting;"
            " did you mean kafka.password_file or input.registry.password_file?"
        ),
    ),
    "another group": (
        "kafka:\n  verdict_topic: a",
        {},
        (
            "settings.yaml:2: kafka.verdict_topic: there is no such setting;"
            " did you mean output.verdict_topic?"
        ),
    ),
    "unknown group": (
        "batch: {}\ninptu: {topics: [a]}",
        {},
        "settings.yaml:2: inptu: there is no such setting; did you mean input?",
    ),
    "nothing similar": (
        "qqq: 1",
        {},
        "settings.yaml:1: qqq: there is no such setting",
    ),
    "wrong value": (
        "batch:\n\n  max_records: 0",
        {},
        "settings.yaml:3: batch.max_records: Input should be greater than or equal to 1",
    ),
    "wrong item": (
        "input:\n  topics: [a, [b]]",
        {},
        "settings.yaml:2: input.topics.1: Input should be a valid string",
    ),
    "wrong variable": (
        "batch:\n  max_records: 3",
        {"GUARDSTREAM_BATCH__MAX_RECORDS": "0"},
        (
            "GUARDSTREAM_BATCH__MAX_RECORDS: batch.max_records:"
            " Input should be greater than or equal to 1"
        ),
    ),
    "settings that contradict": (
        "kafka:\n  password: hush",
        {"GUARDSTREAM_KAFKA__PASSWORD_FILE": "/run/password"},
        (
            "settings.yaml:2, GUARDSTREAM_KAFKA__PASSWORD_FILE: kafka:"
            " kafka.password and kafka.password_file are both set; keep one"
        ),
    ),
    "settings that are missing": (
        "kafka:\n  security_protocol: SASL_SSL",
        {},
        "settings.yaml:1: kafka: PLAIN needs kafka.username and kafka.password_file",
    ),
    "set twice": (
        "input:\n  group_id: a\n  group_id: b",
        {},
        "settings.yaml:3: input.group_id: it is set on line 2 too; only line 3 has an effect",
    ),
    "misspelt group of a variable": (
        "",
        {"GUARDSTREAM_INPT__GROUP_ID": "a"},
        (
            "GUARDSTREAM_INPT__GROUP_ID: there is no such setting;"
            " did you mean GUARDSTREAM_INPUT__GROUP_ID?"
        ),
    ),
    "one underscore": (
        "",
        {"GUARDSTREAM_INPUT_GROUP_ID": "a"},
        (
            "GUARDSTREAM_INPUT_GROUP_ID: there is no such setting;"
            " did you mean GUARDSTREAM_INPUT__GROUP_ID?"
        ),
    ),
    "misspelt key of a variable": (
        "",
        {"GUARDSTREAM_ENGINE__MAX_TOKNS": "3"},
        (
            "GUARDSTREAM_ENGINE__MAX_TOKNS: engine.max_tokns: there is no such setting;"
            " did you mean GUARDSTREAM_ENGINE__MAX_TOKENS?"
        ),
    ),
    "misspelt prefix": (
        "",
        {"GUARDSTEAM_INPUT__GROUP_ID": "a"},
        (
            "GUARDSTEAM_INPUT__GROUP_ID: there is no such setting;"
            " did you mean GUARDSTREAM_INPUT__GROUP_ID?"
        ),
    ),
    "prefix of two words": (
        "",
        {"GUARD_STREAM_KAFKA__OAUTH__SCOPE": "a"},
        (
            "GUARD_STREAM_KAFKA__OAUTH__SCOPE: there is no such setting;"
            " did you mean GUARDSTREAM_KAFKA__OAUTH__SCOPE?"
        ),
    ),
    "a list that is not JSON": (
        "",
        {"GUARDSTREAM_INPUT__TOPICS": "hush"},
        (
            "GUARDSTREAM_INPUT__TOPICS: input.topics: it is not JSON;"
            ' write lists and mappings as JSON, such as ["chat-events"]'
        ),
    ),
    "no YAML": ("a: [", {}, "settings.yaml:1: is not YAML"),
    "no mapping": ("- a", {}, "settings.yaml: is not a YAML mapping"),
    "no such mapping": (
        "input:\n  mapping: opnai",
        {},
        "settings.yaml:2: input.mapping: There is no preset and no file opnai; the presets are",
    ),
}


@pytest.mark.parametrize(("text", "variables", "expected"), FAULTS.values(), ids=FAULTS)
def test_lint_finds(tmp_path, text, variables, expected):
    lines, code = linted(tmp_path, text, **variables)
    assert len(lines) == 1, lines
    assert lines[0].startswith(expected)
    assert "hush" not in lines[0]
    assert code == 1


def test_lint_finds_all_faults_at_once_those_of_the_file_first(tmp_path):
    text = (
        "input:\n  mapping: opnai\nkafka:\n  password: a\n  password_file: b\n  user: c\n"
        "batch: {max_records: 0, max_tokens: x}\n"
    )
    lines, code = linted(tmp_path, text, GUARDSTREAM_LOG__LEVL="debug", GUARDSTREAM_INPUT_X="1")
    assert [line.split(": ")[0] for line in lines] == [
        "settings.yaml:2",
        "settings.yaml:4, settings.yaml:5",
        "settings.yaml:6",
        "settings.yaml:7",
        "settings.yaml:7",
        "GUARDSTREAM_INPUT_X",
        "GUARDSTREAM_LOG__LEVL",
    ]
    assert code == 1


def test_a_fault_of_a_setting_that_is_set_twice_names_the_line_that_has_an_effect(tmp_path):
    lines, _ = linted(tmp_path, "batch:\n  max_records: 1\n  max_records: 0")
    assert [line.split(":")[1] for line in lines] == ["3", "3"]


def test_variables_of_other_programs_are_no_faults(tmp_path):
    others = {
        "MODERATION_LOG__LEVEL": "a",
        "STREAM_INPUT__GROUP_ID": "b",
        "GUARDSTREAM_CONFIG": "c",
    }
    assert linted(tmp_path, "", **others) == (["0 settings are set, no faults"], 0)


def test_a_misspelt_setting_is_not_missing_too(tmp_path):
    text = "kafka: {security_protocol: SASL_SSL, username: a, pasword_file: b}"
    (line,), _ = linted(tmp_path, text)
    assert line.endswith("did you mean kafka.password_file?")


def test_lint_reads_a_mapping_file(tmp_path):
    mapping = tmp_path / "mapping.yaml"
    text = f"input: {{mapping: {mapping}}}"
    mapping.write_text("event: {prompt: question}")
    assert linted(tmp_path, text) == (["1 setting is set, no faults"], 0)
    mapping.write_text("event: {prompt: 'question['}")
    assert "event.prompt" in linted(tmp_path, text)[0][0]


def test_lint_for_programs(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("batch: {max_records: 0}")
    done = config("lint", file, "--json")
    assert json.loads(done.stdout) == {
        "setting": "batch.max_records",
        "where": f"{file}:1",
        "fault": "Input should be greater than or equal to 1",
    }
    assert done.exit_code == 1
    assert config("lint", tmp_path / "none.yaml").exit_code == 2


def test_other_commands_name_lint_if_there_is_more_than_one_fault(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("batch: {max_records: 0}")
    with pytest.raises(WrongSetting) as one:
        load_settings(file)
    assert "config lint" not in str(one.value)
    file.write_text("batch: {max_records: 0, max_tokens: 0}")
    with pytest.raises(WrongSetting) as two:
        load_settings(file)
    assert str(two.value).endswith(f" `guardstream config lint {file}` lists all faults.")
    assert "batch.max_records" in str(two.value)


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("input:\n  topics: [a, b]\nbatch: {max_records: 7, max_tokens: 65536}\n")
    return file


def test_show_names_the_source_of_each_value(file):
    done = config("show", "--config", file, GUARDSTREAM_BATCH__MAX_RECORDS="9")
    lines = done.stdout.splitlines()
    assert f'  topics: ["a", "b"]  # {file}:2' in lines
    assert "  max_records: 9  # GUARDSTREAM_BATCH__MAX_RECORDS" in lines
    assert f"  max_tokens: 65536  # {file}:3" in lines
    assert "  linger_seconds: 0.02  # default" in lines
    assert sum("  # " in line for line in lines) == len(settings_list())
    assert done.exit_code == 0


def test_what_show_prints_is_a_settings_file(file, tmp_path):
    variables = {
        "GUARDSTREAM_INPUT": '{"keep": "tenant == `\\"é\\"`", "registry": {"username": "#: x"}}',
        "GUARDSTREAM_ENGINE__EXTRA__A": "1e-5",
        "GUARDSTREAM_BREAKER__COOL_SECONDS": "0.00001",
    }
    again = tmp_path / "again.yaml"
    for options in ([], ["--changed"]):
        again.write_text(config("show", "--config", file, *options, **variables).stdout)
        shown = load_settings(again)
        assert (shown.input.topics, shown.batch.max_records) == (["a", "b"], 7)
        assert shown.input.registry.username == "#: x"
        assert shown.input.keep == 'tenant == `"é"`'
        assert shown.engine.extra == {"A".lower(): "1e-5"}
        assert shown.breaker.cool_seconds == 0.00001


def test_show_changed_omits_what_equals_the_default(file):
    shown = config("show", "--config", file, "--changed").stdout
    assert yaml.safe_load(shown) == {"input": {"topics": ["a", "b"]}, "batch": {"max_records": 7}}
    assert config("show", "--changed").stdout == ""


def test_show_for_programs(file):
    done = config("show", "--config", file, "--json", "--changed")
    assert list(map(json.loads, done.stdout.splitlines())) == [
        {
            "setting": name,
            "value": value,
            "source": "file",
            "where": f"{file}:{line}",
            "changed": True,
            "masked": False,
        }
        for name, value, line in (
            ("input.topics", ["a", "b"], 2),
            ("batch.max_records", 7, 3),
        )
    ]


def test_show_hides_secrets(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("engine: {extra: {hf_token: hush-1, list: [{api_key: hush-2}], dtype: half}}")
    variables = {
        "GUARDSTREAM_KAFKA__PASSWORD": "hush-3",
        "GUARDSTREAM_KAFKA__OAUTH__CLIENT_SECRET": "hush-4",
        "GUARDSTREAM_INPUT__REGISTRY__PASSWORD": "hush-5",
        "GUARDSTREAM_TELEMETRY__OTLP_ENDPOINT": "http://user:hush-6@collector:4318",
    }
    for options in ([], ["--json"], ["--changed"]):
        shown = config("show", "--config", file, *options, **variables).stdout
        assert "hush" not in shown
        assert "half" in shown
        assert "***@collector:4318" in shown
    # a masked value does not become the value
    assert '  #password: "***"  # GUARDSTREAM_KAFKA__PASSWORD' in shown.splitlines()


def test_schema_accepts_the_starter_file_and_refuses_faults(tmp_path):
    schema = json.loads(config("schema").stdout)
    assert list(Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema)) == []
    validator = Draft202012Validator(schema)
    assert list(validator.iter_errors(yaml.safe_load(starter_file()))) == []
    for text in ("qqq: 1", "batch: {max_records: 0}", "kafka: {oauth: {qqq: 1}}", "input: 1"):
        assert list(validator.iter_errors(yaml.safe_load(text))), text


def test_every_setting_is_described():
    assert [one.name for one in settings_list() if not one.field.description] == []


def test_init_names_every_setting_and_sets_the_defaults(tmp_path):
    text = config("init").stdout
    assert text == starter_file()
    file = tmp_path / "settings.yaml"
    for content in (text, uncommented(range(len(text)))):
        file.write_text(content)
        assert load_settings(file).model_dump() == Settings().model_dump()
    held = yaml.safe_load(content)
    for setting in settings_list():
        value = held
        for key in setting.path:
            value = value[key]
        assert value == setting.default, setting.name


COMMENTED = [
    number
    for number, line in enumerate(starter_file().splitlines())
    if line.lstrip().startswith("#") and not line.lstrip().startswith(("# ", "#\n")) and ":" in line
]


def uncommented(numbers):
    chosen = set(numbers) & set(COMMENTED)
    return "\n".join(
        line.replace("#", "", 1) if number in chosen else line
        for number, line in enumerate(starter_file().splitlines())
    )


@given(st.sets(st.sampled_from(COMMENTED)))
def test_any_subset_of_the_starter_file_has_no_fault(tmp_path_factory, chosen):
    file = tmp_path_factory.getbasetemp() / "subset.yaml"
    file.write_text(uncommented(chosen))
    count, faults = lint_settings(file)
    assert faults == []
    assert count == len(settings_list()) - len(COMMENTED) + len(chosen)
    errors = Draft202012Validator(settings_schema()).iter_errors(yaml.safe_load(file.read_text()))
    assert list(errors) == []


def test_the_starter_file_has_units_and_possible_values():
    lines = starter_file().splitlines()

    def about(setting):
        (number,) = [n for n, line in enumerate(lines) if line.strip().startswith(setting)]
        return " ".join(line.strip(" #") for line in lines[number - 2 : number])

    assert about("#linger_seconds:").endswith("Seconds, at least 0.")
    assert about("#queued_bytes_per_partition:").endswith(" Bytes, at least 1.")
    assert about("#sample:").endswith("0 to 1.")
    assert about("guarantee:").endswith("One of at_least_once, exactly_once.")
    assert max(map(len, lines)) <= 100
