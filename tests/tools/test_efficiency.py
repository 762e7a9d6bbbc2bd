"""The part `efficiency`: the model that only a GPU runs, and what the page says of the figures."""

import json
from pathlib import Path

import pytest

from benchmarks.efficiency import section
from benchmarks.efficiency.model import shape_settings, write_shape
from benchmarks.efficiency.sides import ProcessorTime
from worker.adapters.vllm.tokenizer import JsonTokenizer
from worker.guards.guardreasoner.prompt import render
from worker.runtime.settings import load_settings


def test_the_shape_has_as_many_parameters_as_the_published_model(tmp_path):
    write_shape(tmp_path)
    c = json.loads((tmp_path / "config.json").read_text())
    width, kv_width = c["hidden_size"], c["num_key_value_heads"] * c["head_dim"]
    attention = 2 * width * c["num_attention_heads"] * c["head_dim"] + 2 * width * kv_width
    layer = attention + 3 * width * c["intermediate_size"] + 2 * width
    total = c["vocab_size"] * width + c["num_hidden_layers"] * layer + width
    assert c["tie_word_embeddings"]
    assert total == 3_212_749_824


async def test_the_shape_is_a_model_folder_that_the_settings_and_the_tokenizer_take(tmp_path):
    write_shape(tmp_path)
    chosen = load_settings(engine=shape_settings(tmp_path)).engine
    assert chosen.extra == {"load_format": "dummy"}
    tokenizer = JsonTokenizer.load(chosen.model)
    prompt = render("How do I bake bread? \u4f60\u597d", None)
    (ids,) = await tokenizer.encode([prompt], chosen.max_model_len - chosen.max_tokens)
    assert ids
    assert max(ids) < json.loads((tmp_path / "config.json").read_text())["vocab_size"]


@pytest.mark.parametrize(
    ("rates", "said"), [([45.0, 48.0], "which meets the goal"), ([20.0, 30.0], "below the goal")]
)
def test_the_section_says_whether_the_goal_is_met(rates, said):
    def rounds(figures, broker):
        cpu = {"client": 1.0, "broker": broker, "engine": 9.0, "elsewhere": 1.5}
        common = {"cpu_seconds": cpu, "completion_tokens": 2000, "seconds": 6.0}
        return [common | {"events_per_second": rate} for rate in figures]

    figures = {
        "model": "a guard",
        "on": "cpu",
        "modes": {
            "never": {
                "count": 10,
                "rounds": {"engine": rounds([50.0, 50.0], 0.0), "worker": rounds(rates, 2.0)},
            }
        },
    }
    text = section(figures, Path())
    assert f"**Worker / engine alone: {sum(rates) / 100:.3f}" in text
    assert said in text
    assert "| 100.00 | 200.00 | 900.00 | 200.0 |" in text
    assert "0.25 cores during `LLM.generate`" in text


def test_what_went_elsewhere_is_the_machines_time_less_the_sides_own(monkeypatch):
    used = ProcessorTime()
    assert set(used.passed()) == {"client", "broker", "engine", "elsewhere"}
    used._before = dict.fromkeys(used.passed(), 1.0)
    now = {"client": 2.0, "broker": 1.5, "engine": 5.0, "elsewhere": 9.0}
    monkeypatch.setattr(used, "_now", lambda: now)
    assert used.passed() == {"client": 1.0, "broker": 0.5, "engine": 4.0, "elsewhere": 2.5}
