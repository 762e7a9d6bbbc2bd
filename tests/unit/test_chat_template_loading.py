"""Where chat templates come from, which tokens they keep out of texts, and their bounds."""

import httpx
import huggingface_hub
import pytest
from huggingface_hub.errors import (
    EntryNotFoundError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
)

from tests.unit.chat_templates import ADDED, TURNS, WRAPPED, conversation, write_model
from worker.adapters.chat_files import _MOST_BYTES
from worker.adapters.chat_template import JinjaChatTemplate, load_chat_template, template_source
from worker.adapters.vllm.tokenizer import JsonTokenizer
from worker.domain.errors import EngineUnavailable, WrongSetting
from worker.domain.prompts import Control, Prompt
from worker.runtime.engines import demonstration_model

IN_CONFIG = "{{ bos_token }}{{ eos_token.upper() }}config {{ messages[0].content }}"
TOKENS = {"bos_token": {"content": "<bos>", "special": True}, "eos_token": "end", "x_token": None}


def text_of(place):
    return load_chat_template(place).render(conversation("a"), {}).text


def test_the_templates_own_file_goes_first(tmp_path):
    config = TOKENS | {"chat_template": IN_CONFIG}
    assert text_of(write_model(tmp_path, config=config)) == "<bos>ENDconfig a"
    file = "file {{ bos_token }}{{ x_token }} {{ messages[0].content }}"
    assert text_of(write_model(tmp_path, file)) == "file <bos> a"


def test_of_named_templates_the_default_is_used(tmp_path):
    named = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": IN_CONFIG}]
    place = write_model(tmp_path, config=TOKENS | {"chat_template": named})
    assert text_of(place) == "<bos>ENDconfig a"
    place = write_model(tmp_path, config={"chat_template": named[:1]})
    with pytest.raises(EngineUnavailable, match="none of the name default, only tool_use"):
        load_chat_template(place)


@pytest.mark.parametrize("config", [None, {}, [], {"chat_template": None}])
def test_a_model_without_a_template_is_refused_in_a_line(tmp_path, config):
    place = write_model(tmp_path, config=config)
    with pytest.raises(EngineUnavailable, match=r"has no chat template, .* check guard\.name"):
        load_chat_template(place)
    with pytest.raises(EngineUnavailable, match="has no chat template"):
        load_chat_template(demonstration_model())


def test_it_is_loaded_where_it_is_needed(tmp_path):
    source = template_source(str(tmp_path))
    with pytest.raises(EngineUnavailable, match="has no chat template"):
        source()
    write_model(tmp_path, TURNS)
    assert source() is source()


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("chat_template.jinja", b"{% if %}", r"cannot be compiled \(Expected an expression"),
        ("chat_template.jinja", b"{{ " + b"(" * 20_000, r"cannot be compiled \("),
        ("chat_template.jinja", b"{% include 'x' %}{{ 1 | nothing }}", "No filter named 'nothing'"),
        ("chat_template.jinja", b"\xff", r"chat_template\.jinja of .* cannot be read"),
        ("chat_template.jinja", b"a" * (_MOST_BYTES + 1), "more than 1,048,576"),
        ("tokenizer_config.json", b"{", r"tokenizer_config\.json of .* cannot be read"),
        ("tokenizer_config.json", b'{"chat_template": 3}', "neither a text nor a list"),
        ("tokenizer_config.json", b'{"chat_template": [{"name": "a"}]}', "neither a text nor"),
        ("tokenizer.json", b"{}{", r"tokenizer\.json of .* cannot be read"),
        ("tokenizer.json", b'{"added_tokens": [{}]}', r"tokenizer\.json of .* cannot be read"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_used_are_named(tmp_path, name, content, line):
    place = write_model(tmp_path, None if name == "tokenizer_config.json" else TURNS)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EngineUnavailable, match=line) as refused:
        load_chat_template(place)
    assert "\n" not in str(refused.value)


DOUBLED = "{{% set n = namespace(x='ab') %}}{{% for i in range(23) %}}{}{{% endfor %}}"
STEPS, LARGE = "more than 200,000 steps", "a value that is too large"
ENDLESS = {
    "a range of a billion": ("{% for i in range(1000000000) %}x{% endfor %}", "Range too big"),
    "loops in loops": (
        "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
        STEPS,
    ),
    "a macro that calls itself": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
    "macros that double": (
        "{% macro f(n) %}{% if n %}{{ f(n - 1) ~ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        STEPS,
    ),
    "a recursive loop": ("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "recursion"),
    "a long output": (
        "{% for i in range(9999) %}{{ 'a' * 9999 }}{% endfor %}",
        "it writes more than",
    ),
    "a long text": ("{{ 'a' * 10000000 }}", LARGE),
    "a long list": ("{{ [1] * 10000000 }}", LARGE),
    "a large number": ("{{ 10 ** 100000 }}", LARGE),
    "a large product": (
        "{% set n = namespace(x=9) %}{% for i in range(20) %}{% set n.x = n.x * n.x %}{% endfor %}",
        LARGE,
    ),
    "a text that doubles": (
        DOUBLED.format("{% set n.x = n.x ~ n.x %}"),
        LARGE,
    ),
    "a block that doubles": (
        DOUBLED.format("{% set n.x %}{{ n.x }}{{ n.x }}{% endset %}"),
        LARGE,
    ),
    "a call that doubles": (
        "{% macro f(n, t) %}{{ f(n - 1, t ~ t) if n }}{% endmacro %}{{ f(23, 'ab') }}",
        LARGE,
    ),
    "a loop that doubles": (
        "{% for a in ['a' * 4000000] %}{% for b in [a ~ a] %}{% endfor %}{% endfor %}",
        LARGE,
    ),
    "a call with a large result": ("{{ 'a'.ljust(9999999) | length }}", LARGE),
    "files": ("{% include 'x' %}", "no loader"),
    "internals": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "is unsafe"),
    "changes of messages": ("{{ messages.append(1) }}", "is unsafe"),
}


@pytest.mark.parametrize(("source", "reason"), ENDLESS.values(), ids=ENDLESS)
def test_a_template_is_bounded(source, reason):
    made = JinjaChatTemplate(source + "{{ messages[0].content }}", "m", ADDED)
    with pytest.raises(WrongSetting, match="The chat template of m refuses") as refused:
        made.render(conversation("a"), {})
    assert reason in str(refused.value)
    assert len(str(refused.value)) < 400


def test_what_chat_templates_use_beyond_jinja(tmp_path):
    source = (
        "{% generation %}{{ messages[0].content }}{% endgeneration %}{% for m in [1, 2] %}{{ m }}"
        "{% break %}{% endfor %}{{ strftime_now('%Y') }}{{ {'a': '<é>'} | tojson(indent=0) }}"
        "{{ tools is none and documents is none }}{{ none_token }}"
    )
    assert text_of(write_model(tmp_path, source)) == 'a12026{\n"a": "<é>"\n}True'


def ids(place, *runs):
    return JsonTokenizer.load(place)._encode([Prompt(runs)], 999)[0]


def names(place, *runs):
    tokenizer = JsonTokenizer.load(place)
    return [tokenizer._tokenizer.id_to_token(one) for one in ids(place, *runs)]


SOME = "a<think>b</think><|im_end|><call>c pc\n\n"


def test_tokens_that_the_template_spells_are_kept_out_of_texts(tmp_path):
    place = write_model(tmp_path, WRAPPED)
    found = names(place, SOME)
    assert {"<think>", "</think>", "<|im_end|>"}.isdisjoint(found)
    # which no template spells, and words and white space
    assert {"<call>", "pc", "\n\n"} <= set(found)
    assert names(place, Control("<think>"), "<think>")[0] == "<think>"
    assert names(place, Control("<think>"), "<think>").count("<think>") == 1


def test_the_tokens_of_each_named_template_are_kept_out_of_texts(tmp_path):
    named = [{"name": "default", "template": "x"}, {"name": "tool_use", "template": "<call>"}]
    place = write_model(tmp_path, config={"chat_template": named})
    found = names(place, SOME)
    assert "<call>" not in found
    assert "<think>" in found


def test_without_a_template_all_that_look_like_control_tokens_are_kept_out_of_texts(tmp_path):
    found = names(write_model(tmp_path), SOME)
    assert {"<think>", "</think>", "<|im_end|>", "<call>"}.isdisjoint(found)
    assert {"pc", "\n\n"} <= set(found)


def test_a_token_that_a_prompt_names_is_kept_out_of_texts(tmp_path):
    place = write_model(tmp_path, WRAPPED)
    assert names(place, "<call>", Control("<call>")).count("<call>") == 1
    assert names(place, "<call>", Control("<call>"))[-1] == "<call>"


def served(monkeypatch, folder, missing):
    def download(model, name, revision):
        assert (model, revision) == ("org/model", "abc")
        if (folder / name).is_file():
            return str(folder / name)
        raise missing

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)


RESPONSE = httpx.Response(404, request=httpx.Request("GET", "https://hub.invalid"))


@pytest.mark.parametrize(
    "missing",
    [RemoteEntryNotFoundError("none", response=RESPONSE), LocalEntryNotFoundError("not cached")],
)
def test_a_model_at_hugging_face_may_lack_files(monkeypatch, tmp_path, missing):
    assert isinstance(missing, EntryNotFoundError)
    write_model(tmp_path, config=TOKENS | {"chat_template": IN_CONFIG})
    served(monkeypatch, tmp_path, missing)
    made = load_chat_template("org/model", "abc")
    assert made.render(conversation("a"), {}).text == "<bos>ENDconfig a"
    (tmp_path / "tokenizer_config.json").unlink()
    assert JsonTokenizer.load("org/model", "abc").token_id("<think>")
    with pytest.raises(EngineUnavailable, match="has no chat template"):
        load_chat_template("org/model", "abc")
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(EngineUnavailable, match=r"is not available \(\w+EntryNotFoundError\)"):
        JsonTokenizer.load("org/model", "abc")


@pytest.mark.parametrize(
    "failure", [RepositoryNotFoundError("none", response=RESPONSE), ConnectionError("down")]
)
def test_a_download_that_fails_is_not_a_missing_template(monkeypatch, tmp_path, failure):
    write_model(tmp_path)
    served(monkeypatch, tmp_path, failure)
    for load in (load_chat_template, JsonTokenizer.load):
        with pytest.raises(EngineUnavailable, match=r"is not available \(\w+Error\)"):
            load("org/model", "abc")
