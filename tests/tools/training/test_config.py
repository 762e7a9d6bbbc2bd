"""What a run's configuration takes and refuses."""

import re
from pathlib import Path

import pytest
import yaml

from training.config import Config, parse_config, read_config, rehearsed
from worker.domain.errors import WrongSetting

CONFIGS = sorted(Path("training/configs").glob("*.yaml"))
SMALL = {
    "name": "small",
    "model": {"path": "demonstration"},
    "data": {"train": "rows.jsonl", "held_out": "held-out.jsonl"},
}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_configurations_that_ship_can_be_read(path):
    assert read_config(path).name == path.stem


@pytest.mark.parametrize("name", ["llama-3.2-1b", "llama-3.2-3b", "llama-3.1-8b"])
def test_the_real_ones_have_the_papers_hyperparameters(name):
    config = read_config(Path(f"training/configs/{name}.yaml"))
    sft, dpo = config.sft, config.dpo
    assert (sft.learning_rate, sft.epochs, sft.batch, sft.max_tokens) == (5e-5, 3, 384, 2048)
    assert (dpo.learning_rate, dpo.epochs, dpo.batch, dpo.max_tokens) == (5e-6, 2, 256, 2048)
    assert (dpo.beta, dpo.gamma, dpo.sft_weight) == (0.01, 0.2, 2.0)
    assert (sft.precision, dpo.precision) == ("bfloat16", "bfloat16")
    assert config.mine.completions == 4
    assert 0.7 <= config.mine.temperature <= 1.0
    for training in (sft, dpo):
        assert training.batch % training.device_batch == 0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"learning_rate": 1}, "small: there is no key learning_rate."),
        ({"sft": {"epoch": 1}}, "small: there is no key sft.epoch."),
        ({"dpo": {"beta": -1}}, "small: dpo.beta cannot be used: "),
        ({"model": {}}, "small: model cannot be used: give one of path and from_scratch."),
        ({"data": {"train": "a"}}, "give composed, or the files train and held_out."),
        ({"sft": {"epochs": "many"}}, "small: sft.epochs cannot be used: "),
    ],
)
def test_what_it_refuses_is_named(change, sentence):
    with pytest.raises(WrongSetting) as refused:
        parse_config(SMALL | change, "small")
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["- a", "a: [", "\xff"])
def test_what_is_no_mapping_is_refused(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(WrongSetting, match="is not a YAML mapping"):
        read_config(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WrongSetting, match=r"no\.yaml cannot be read: No such file"):
        read_config(tmp_path / "no.yaml")


def test_a_dry_run_keeps_everything_that_is_not_a_size():
    config = read_config(Path("training/configs/llama-3.1-8b.yaml"))
    small = rehearsed(config)
    assert small.model.path is None
    assert small.data.composed is not None
    assert small.sft.gradient_checkpointing
    assert (small.sft.learning_rate, small.dpo.beta, small.dpo.gamma) == (5e-5, 0.01, 0.2)
    assert small.mine == config.mine


def test_a_configuration_survives_being_written_down():
    for path in CONFIGS:
        config = read_config(path)
        document = yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json")))
        assert parse_config(document, "again") == config


def test_the_page_names_keys_that_there_are():
    page = Path("docs/training.md").read_text(encoding="utf-8")
    named = re.findall(r"`(model|data|sft|mine|dpo)\.([a-z_]+)", page)
    assert len(named) > 3
    for group, name in named:
        assert name in Config.model_fields[group].annotation.model_fields, (group, name)
