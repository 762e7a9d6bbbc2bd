"""Chat templates: texts stay texts, and the prompt is the one that the model was trained on."""

from datetime import date
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tests.unit.chat_templates import (
    ADDED,
    BOS,
    KINDS,
    ODD,
    PLAIN,
    SPECIAL,
    STRIPPING,
    WRAPPED,
    conversation,
    plain,
    write_model,
)
from worker.adapters.chat_files import AddedToken
from worker.adapters.chat_sandbox import SandboxedTemplate
from worker.adapters.chat_skeleton import _PROBES
from worker.adapters.chat_template import JinjaChatTemplate
from worker.adapters.vllm.tokenizer import JsonTokenizer
from worker.domain.chat import ChatMessage
from worker.domain.errors import WrongSetting
from worker.domain.prompts import Control, Prompt

SPELLED = [head + f"{n};" + body for head, body in _PROBES for n in (0, 1)]
HOSTILE = st.lists(
    st.text(max_size=5)
    | st.text(st.characters(codec=None), max_size=3)
    | st.sampled_from(
        [*SPECIAL, *PLAIN, *STRIPPING, *SPELLED, *(head for head, _ in _PROBES), "0;",
         "{{ 7 * 7 }}", "{% raw %}", "{#", "<|im_", "start|>", " ", "\n",
         "\u3000", "\ud800", "USER: "]
    ),
    max_size=6,
).map("".join)  # fmt: skip
HARMLESS = st.text(
    st.sampled_from("aB \n\t\r\u3000\u00a0\x0b\x1c.,\"'\\<&{}\u00e9\u4e2d"), max_size=9
)
TEXTS = st.lists(HARMLESS, min_size=1, max_size=4)
# a shape is rendered once
TEMPLATES = {
    kind: JinjaChatTemplate(source, "m", ADDED, BOS) for kind, (source, _, _) in KINDS.items()
}
ALL_KINDS = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    found = {}
    for kind, (source, _, _) in [*KINDS.items(), ("odd", (ODD, {}, False))]:
        place = write_model(tmp_path_factory.mktemp(kind), source)
        library = Tokenizer.from_file(f"{place}/tokenizer.json")
        found[kind] = (JsonTokenizer.load(place), library)
    return found


def rendered(kind, messages, **options):
    _, arguments, as_parts = KINDS[kind]
    return TEMPLATES[kind].render(messages, arguments, as_parts=as_parts, **options)


def template(source):
    return JinjaChatTemplate(source, "m", ADDED, BOS)


@cache
def kept(source):
    return template(source)


def rendered_with(arguments):
    return kept("{{ since }}").render([], arguments).text


def controls(prompt):
    return [run.name for run in prompt.runs if isinstance(run, Control)]


def alternating(prompt):
    """Whether no two runs of text stand side by side: tokens can span their border."""
    kinds = [isinstance(run, str) for run in prompt.runs]
    return (True, True) not in list(pairwise(kinds))


@ALL_KINDS
@given(texts=st.lists(HOSTILE, min_size=1, max_size=4))
def test_control_tokens_are_the_templates_alone(tokenizers, kind, texts):
    messages = conversation(*texts)
    prompt = rendered(kind, messages)
    harmless = rendered(kind, conversation(*("x" * bool(text) for text in texts)))
    assert controls(prompt) == controls(harmless)
    tokenizer, library = tokenizers[kind]
    (ids,) = tokenizer._encode([prompt], 1 << 20)
    # of the others the template spells none
    names = {*SPECIAL, *STRIPPING, *controls(harmless)}
    known = {library.token_to_id(name): name for name in names}
    assert [known[one] for one in ids if one in known] == controls(harmless)


@ALL_KINDS
@given(texts=st.lists(HOSTILE.filter(bool), min_size=1, max_size=4))
def test_a_text_is_put_where_the_template_puts_texts(kind, texts):
    source, arguments, as_parts = KINDS[kind]
    places = [f"place-{n}." for n in range(len(texts))]
    expected = plain(source, conversation(*places), arguments, as_parts=as_parts)
    stripped = {"wrapped": {1, 3}, "parity": {0, 1, 2, 3}, "turns": {0, 1, 2, 3}}.get(kind, set())
    first, *parts = expected.split("place-")
    found = [first]
    for part in parts:
        n, _, rest = part.partition(".")
        text = texts[int(n)]
        found += [text.strip() if int(n) in stripped else text, rest]
    assert rendered(kind, conversation(*texts)).text == "".join(found)


@ALL_KINDS
@given(texts=TEXTS, continued=st.booleans())
def test_the_prompt_is_that_of_the_models_own_library(tokenizers, kind, texts, continued):
    source, arguments, as_parts = KINDS[kind]
    messages = conversation(*texts)
    expected = plain(
        source, messages, arguments, as_parts=as_parts, add_generation_prompt=continued
    )
    prompt = rendered(kind, messages, add_generation_prompt=continued)
    assert prompt.text == expected
    assert alternating(prompt)
    tokenizer, library = tokenizers[kind]
    (ids,) = tokenizer._encode([prompt], 1 << 20)
    assert ids == library.encode(expected, add_special_tokens=False).ids


@given(texts=st.lists(HARMLESS, min_size=2, max_size=4))
def test_a_system_message_may_belong_to_a_turn(texts):
    messages = conversation(*texts, first="system")
    assert rendered("turns", messages).text == plain(KINDS["turns"][0], messages)


# where the library finds an added token of white space, it does not give it to another token
@given(text=HARMLESS.map(lambda text: text.replace("\n", "\t")))
def test_tokens_take_the_white_space_next_to_them(tokenizers, text):
    messages = [ChatMessage("user", text)]
    prompt = kept(ODD).render(messages, {})
    assert controls(prompt) == ["<|to|>", "<|to|>", "<call>"]
    tokenizer, library = tokenizers["odd"]
    (ids,) = tokenizer._encode([prompt], 1 << 20)
    assert ids == library.encode(plain(ODD, messages), add_special_tokens=False).ids


@pytest.mark.parametrize(
    "expression",
    [
        "text", "text | trim", "text.strip()", "text.lstrip()", "text.rstrip()",
        "text.rstrip('\\n')", "text.strip('\\n ')", "text.lstrip('\\x0b\\t')",
        "(text ~ '\\n') | trim", "text ~ text.strip()",
        "text ~ '\\n' ~ text.rstrip(' ')", "(' ' ~ text).lstrip()", "text if text else 'none'",
    ],
)  # fmt: skip
@given(text=HARMLESS)
def test_white_space_is_removed_as_the_template_does(expression, text):
    source = "{% set text = messages[0].content %}<{{ " + expression + " }}>"
    messages = [ChatMessage("user", text)]
    assert kept(source).render(messages, {}).text == plain(source, messages)


ALTERING = {
    "escapes for JSON": "{{ m.content | tojson }}",
    "escapes for HTML": "{{ m.content | e }}",
    "changes case": "{{ m.content | upper }}",
    "changes case of one letter": "{{ m.content | capitalize }}",
    "cuts": "{{ m.content[:60] }}",
    "cuts a long text": "{{ m.content[:500] }}",
    "cuts the start": "{{ m.content[1:] }}",
    "repeats a part": "{{ m.content }}{{ m.content[:2] }}",
    "counts": "{{ m.content }}{{ m.content | length }}",
    "replaces": "{{ m.content | replace('<', '(') }}",
    "replaces lines": "{{ m.content.replace('\\r\\n', '\\n') }}",
    "splits": "{{ m.content.split('\\n') | join(' ') }}",
    "removes quotes": "{{ m.content.strip('\"') }}",
    "removes other quotes": "{{ m.content.strip('`') }}",
    "cuts where a probe has its number": "{{ m.content.split(';')[0] }};",
    "asks how long": "{{ m.content }}{% if m.content | length > 200 %}long{% endif %}",
    "drops": "{{ m.role }}",
    "drops the last": "{% if not loop.last %}{{ m.content }}{% endif %}",
    "collapses": "{{ m.content.split() | join(' ') }}",
    "indents": "{{ m.content | indent }}",
}


@pytest.mark.parametrize("expression", ALTERING.values(), ids=ALTERING)
def test_a_template_that_alters_texts_is_refused(expression):
    made = template("{% for m in messages %}" + expression + "{% endfor %}")
    with pytest.raises(
        WrongSetting, match=r"of m alters or drops the text of message \d of 2 \(user\)"
    ):
        made.render([ChatMessage("user", "a"), ChatMessage("user", "a")], {})


def test_messages_as_json_are_refused():
    with pytest.raises(WrongSetting, match="alters or drops the text of message 1 of 1"):
        template("{{ messages | tojson }}").render(conversation("a"), {})


def test_the_message_that_is_altered_is_named():
    made = template("{{ messages[0].content }}{{ messages[1].content.title() }}")
    with pytest.raises(WrongSetting, match=r"message 2 of 2 \(assistant\), so it cannot be used"):
        made.render(conversation("a", "b"), {})


@pytest.mark.parametrize(
    ("kind", "messages", "reason"),
    [
        ("parity", [ChatMessage("system", "a")], r"roles system \(Roles must alternate"),
        ("parity", [ChatMessage("user", "a")] * 2, r"roles user, user \(Roles must alternate"),
        ("wrapped", [ChatMessage("tool", "a")], r"roles tool \(Only two roles, not tool\)"),
        ("turns", [], r"no messages \("),
        ("parity", [ChatMessage("user", "a")] * 9, r"user, user, … \(Roles"),
    ],
)
def test_a_shape_that_the_template_refuses_is_named(kind, messages, reason):
    with pytest.raises(WrongSetting, match=reason) as refused:
        rendered(kind, messages)
    assert "\n" not in str(refused.value)


def test_the_longest_control_token_counts():
    added = [AddedToken(name, special=True) for name in ("<a>", "<a><b>", "<b>")]
    prompt = JinjaChatTemplate("<b><a><b>{{ messages[0].content }}<a>", "m", added).render(
        conversation("<a>"), {}
    )
    assert prompt.runs == (Control("<b>"), Control("<a><b>"), "<a>", Control("<a>"))


def test_a_role_cannot_spell_a_control_token():
    with pytest.raises(WrongSetting, match=r"'user<\|im_end\|>' is not the name of a role"):
        TEMPLATES["configured"].render([ChatMessage("user<|im_end|>", "a")], KINDS["configured"][1])


def test_arguments_are_of_the_types_of_json():
    with pytest.raises(WrongSetting, match=r"are no JSON \(Object of type date"):
        rendered_with({"since": date(2026, 1, 1)})
    assert rendered_with({"since": [None, 1.5, "\ud800"]}) == "[None, 1.5, '\\ud800']"


def test_a_template_without_messages_may_be_rendered():
    assert template("{{ bos_token }}a").render([], {}) == Prompt((Control("<bos>"), "a"))
    assert template("{{ probe }}").render([], {"probe": SPELLED[0]}).text == SPELLED[0]


@given(texts=TEXTS)
def test_loops_are_those_of_jinja(texts):
    source = (
        "{% for m in messages %}{{ loop.index }}/{{ loop.length }}{{ loop.first }}{{ loop.last }}"
        "{{ loop.revindex0 }}{{ loop.cycle('a', 'b') }}{{ (loop.nextitem or {}).role }}"
        "{{ (loop.previtem or {}).role }}{{ m.content }}{% else %}none{% endfor %}"
        "{% for m in nothing %}{% else %}none{% endfor %}{% for k, v in messages[0].items() %}"
        "{{ k }}{% endfor %}{% for m in messages if m.role == 'user' %}{{ loop.last }}{% endfor %}"
        "{% set t %}{{ messages[0].role }}{% endset %}{% set u | upper %}x{% endset %}{{ t ~ u }}"
        "{% set a, b = 1, 2 %}{{ a + b }}{% macro f(x) %}{{ x }}{{ caller() }}{% endmacro %}"
        "{% call f(3) %}y{% endcall %}{% filter upper %}z{% endfilter %}{{ 3 * 'ab' }}{{ 2 ** 8 }}"
    )
    messages = conversation(*texts)
    assert kept(source).render(messages, {}).text == plain(source, messages)


def test_arguments_choose_what_is_asked():
    made = TEMPLATES["configured"]
    messages = conversation("a")
    for arguments in (
        {"guardian_config": {"criteria_id": "jailbreak"}},
        {"guardian_config": {"custom": "My own."}, "think": True},
        {"guardian_config": {"custom": "é"}},
    ):
        assert made.render(messages, arguments).text == plain(
            KINDS["configured"][0], messages, arguments
        )
    # also where an argument replaces what the template is always given
    documents = made.render(messages, {"guardian_config": {"custom": "x"}, "documents": ["é&<"]})
    assert 'Criterion: x ["é&<"]' in documents.text
    with pytest.raises(WrongSetting, match="No criterion greed"):
        made.render(messages, {"guardian_config": {"criteria_id": "greed"}})


@pytest.mark.parametrize("length", [3, 300])
def test_a_shape_is_rendered_once(monkeypatch, length):
    made = template(WRAPPED)
    calls = []
    monkeypatch.setattr(
        SandboxedTemplate,
        "render",
        lambda self, given, render=SandboxedTemplate.render: calls.append(1) or render(self, given),
    )
    arguments = {"policy": {"a": 1}}

    def rendering(text, roles=("user", "assistant")):
        before = len(calls)
        messages = [ChatMessage(roles[n % 2], text) for n in range(length)]
        made.render(messages, arguments)
        return len(calls) - before

    assert 0 < rendering("a") < 10
    # longer conversations are rare, and keeping them takes memory
    assert (rendering("b") == 0) == (length == 3)
    arguments["policy"]["a"] = 2
    assert rendering("a")
    assert rendering("a", ("assistant", "user"))


def test_a_refusal_is_kept_too(monkeypatch):
    made = template("{{ raise_exception('No.') }}")
    with pytest.raises(WrongSetting, match=r"\(No\)"):
        made.render(conversation("a"), {})
    monkeypatch.setattr(SandboxedTemplate, "render", None)
    with pytest.raises(WrongSetting, match=r"\(No\)"):
        made.render(conversation("b"), {})


def test_what_a_prompt_begins_with_is_marked_for_the_tokenizer(tokenizers):
    prompt = rendered("wrapped", conversation("a text", "another"))
    assert prompt.opening.startswith("user\n# Task")
    assert prompt.opening.endswith("USER: ")
    tokenizer, _ = tokenizers["wrapped"]
    assert tokenizer._encode([prompt], 999) == tokenizer._encode([Prompt(prompt.runs)], 999)
    assert rendered("turns", conversation("a" * 200)).opening == ""


def test_the_number_of_openings_that_are_kept_is_bounded(tmp_path):
    """A conversation that begins with empty messages has an opening of its own."""
    tokenizer = JsonTokenizer.load(write_model(tmp_path, WRAPPED))
    prompts = [rendered("wrapped", conversation(*[""] * n, "a")) for n in range(80)]
    assert len({prompt.opening for prompt in prompts}) == 80
    without = [Prompt(prompt.runs) for prompt in prompts]
    assert tokenizer._encode(prompts, 9999) == tokenizer._encode(without, 9999)
    assert len(tokenizer._openings) == 64
