"""Tokenizers that begin a text with a space of their own: what comes in the middle has none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from worker.adapters.vllm.request_options import starts_of
from worker.adapters.vllm.tokenizer import JsonTokenizer
from worker.adapters.vllm.word_marks import Marks, unmarked
from worker.domain.engines import Completion, Continuation, EngineRequest, LabelPlace, Usage
from worker.domain.errors import EngineUnavailable
from worker.domain.prompts import Control, Place, Prompt
from worker.runtime.engines import demonstration_model

WORDS = ["yes", "no", "Harmful", "request", "safe", "un"]
LETTERS = [*"\u2581abcdefghijklmnopqrstuvwxyzH:<>|/[]ISNT"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def vocabulary():
    """Pieces of SentencePiece: words with and without the mark, letters and bytes."""
    pieces = ["<unk>", "<s>", "[/INST]", *BYTES, *LETTERS]
    merges = []
    for start in ("\u2581", ""):
        for word in WORDS:
            have = start or word[0]
            for letter in word if start else word[1:]:
                if (have, letter) not in merges:
                    merges.append((have, letter))
                pieces.append(have := have + letter)
    return {piece: n for n, piece in enumerate(dict.fromkeys(pieces))}, merges


def sentence_piece(normalizer=None, pre_tokenizer=None):
    pieces, merges = vocabulary()
    tokenizer = Tokenizer(models.BPE(pieces, merges, unk_token="<unk>", byte_fallback=True))
    tokenizer.add_special_tokens([AddedToken(one, normalized=False) for one in ("<s>", "[/INST]")])
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            *([decoders.Strip(" ", 1, 0)] if (normalizer or pre_tokenizer) is not GEMMA else []),
        ]
    )
    return tokenizer


SPACES = normalizers.Replace(" ", "\u2581")
# Gemma's marks no beginning
GEMMA = SPACES
KINDS = {
    # Llama 2 and Mistral before 2024: each piece between control tokens is marked
    "legacy": sentence_piece(normalizers.Sequence([normalizers.Prepend("\u2581"), SPACES])),
    "always": sentence_piece(
        pre_tokenizer=pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    ),
    "first": sentence_piece(
        pre_tokenizer=pre_tokenizers.Sequence(
            [pre_tokenizers.Metaspace(prepend_scheme="first", split=False)]
        )
    ),
    "gemma": sentence_piece(GEMMA),
}
MARKS = {
    "legacy": Marks.AFTER_CONTROL_TOO,
    "always": Marks.AFTER_CONTROL_TOO,
    "first": Marks.START,
    "gemma": Marks.NOWHERE,
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def loaded(kind):
    return JsonTokenizer(Tokenizer.from_str(KINDS[kind].to_str()), "m")


def pieces(kind, ids):
    return [KINDS[kind].id_to_token(one) for one in ids]


@each_kind
def test_where_a_tokenizer_marks_is_known(kind):
    plain, marks = unmarked(KINDS[kind])
    assert marks is MARKS[kind]
    assert (plain is KINDS[kind]) == (marks is Marks.NOWHERE)
    assert pieces(kind, plain.encode("yes no").ids) == ["yes", "\u2581no"]


@each_kind
@pytest.mark.parametrize(
    ("labels", "tokens"),
    [((" yes", " no"), ["\u2581yes", "\u2581no"]), (("yes", "no"), ["yes", "no"])],
)
def test_labels_in_the_middle_of_an_answer_have_the_tokens_that_a_model_writes(
    kind, labels, tokens
):
    place, found = loaded(kind).label_tokens(labels)
    assert place == 0
    assert pieces(kind, found.values()) == tokens
    # as in the complete text
    whole = KINDS[kind].encode(f"Harmful request:{labels[0]}", add_special_tokens=False).ids
    assert whole[-1] == found[labels[0]]


@each_kind
def test_labels_right_after_a_control_token_are_marked_as_the_tokenizer_marks_them(kind):
    _, found = loaded(kind).label_tokens(("yes", "no"), Place.CONTROL)
    marked = MARKS[kind] is Marks.AFTER_CONTROL_TOO
    assert pieces(kind, found.values()) == (["\u2581yes", "\u2581no"] if marked else ["yes", "no"])
    whole = KINDS[kind].encode("<s>yes[/INST]yes", add_special_tokens=False).ids
    assert whole[-1] == found["yes"]


TEXTS = st.text(st.sampled_from("yes no H:\n\u4e2d[]"), min_size=1, max_size=12)


@each_kind
@given(texts=st.lists(TEXTS, min_size=1, max_size=3), begins=st.booleans())
def test_a_prompt_has_the_tokens_of_its_complete_text(kind, texts, begins):
    runs = [run for text in texts for run in (text, Control("[/INST]"))]
    prompt = Prompt(tuple(([Control("<s>")] if begins else []) + runs))
    (ids,) = loaded(kind)._encode([prompt], 4096)
    assert ids == KINDS[kind].encode(prompt.text, add_special_tokens=False).ids


@each_kind
@given(first=TEXTS, second=TEXTS)
def test_a_continuation_is_text_in_the_middle(kind, first, second):
    tokenizer = loaded(kind)
    request = EngineRequest(Prompt((first,)))
    said = Completion("yes", "stop", Usage(0, 0, 0), (5,))
    for continuation in (Continuation(request, second), Continuation(request, second, said)):
        assert continuation.place is Place.TEXT
        (ids,) = tokenizer._encode([Prompt(continuation.runs, place=continuation.place)], 4096)
        assert tokenizer.text(ids) == second
    after = Continuation(EngineRequest(Prompt((first, Control("[/INST]")))), second)
    assert after.place is Place.CONTROL
    assert Continuation(EngineRequest(after), "").place is Place.TEXT


@each_kind
@given(st.text(max_size=20))
def test_what_follows_is_read_back_with_its_first_space(kind, text):
    tokenizer = loaded(kind)
    ids = tokenizer.ids(f" {text}", Place.TEXT)
    known = text.encode("utf-8", "replace").decode().replace("\u2581", " ")
    assert tokenizer.text(ids) == f" {known}"


@each_kind
def test_a_place_is_found_in_an_answer(kind):
    tokenizer = loaded(kind)
    ids = tokenizer.ids("Harmful request: yes\nrequest:no", Place.TEXT)

    def written(count):
        return tokenizer.text(ids[:count])

    wanted = [LabelPlace((), "Harmful request:"), LabelPlace((), "\nrequest:")]
    starts = list(starts_of(wanted, written(len(ids)), len(ids), written))
    assert pieces(kind, [ids[one] for one in starts]) == ["\u2581yes", "no"]


@each_kind
@given(st.lists(st.sampled_from(["\U0001f600", "\u4e2d", "\u00e9", "a", " ", "H:"]), max_size=12))
def test_bytes_of_a_character_do_not_hide_a_place(kind, pieces_):
    """A character that is not complete is shown as one for each of its bytes."""
    tokenizer = loaded(kind)
    ids = tokenizer.ids("".join(pieces_) + "H:", Place.TEXT)
    written = [tokenizer.text(ids[:n]) for n in range(len(ids) + 1)]
    at = written[-1].find("H:") + 2
    exact = max(n for n, one in enumerate(written) if one == written[-1][:at])
    found = starts_of([LabelPlace((), "H:")], written[-1], len(ids), written.__getitem__)
    assert list(found) == [exact]


def test_a_control_token_that_is_not_special_is_kept_out_of_texts_in_the_middle():
    tokenizer = Tokenizer.from_str(KINDS["first"].to_str())
    tokenizer.add_tokens([AddedToken("<think>", normalized=False)])
    name = tokenizer.token_to_id("<think>")
    (ids,) = JsonTokenizer(tokenizer, "m")._encode([Prompt((Control("<think>"), "a <think>"))], 99)
    assert ids[0] == name
    assert ids.count(name) == 1


@each_kind
def test_untrusted_text_in_the_middle_spells_no_control_token(kind):
    tokenizer = loaded(kind)
    (ids,) = tokenizer._encode([Prompt((Control("[/INST]"), "<s> [/INST]"))], 4096)
    assert pieces(kind, ids).count("[/INST]") == 1
    assert "<s>" not in pieces(kind, ids)


def test_a_control_token_that_is_missing_can_be_added():
    tokenizer = JsonTokenizer.load(demonstration_model())
    with pytest.raises(EngineUnavailable, match=r"has no token \[INST\]"):
        tokenizer.token_id("[INST]")
    adding = JsonTokenizer.load(demonstration_model(), adds_controls=True)
    (ids,) = adding._encode([Prompt((Control("[INST]"), "a [INST]"))], 100)
    assert ids.count(adding.token_id("[INST]")) == 1


def test_bytes_with_a_space_first_are_marked():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\d"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=True),
        ]
    )
    plain, marks = unmarked(tokenizer)
    assert marks is Marks.AFTER_CONTROL_TOO
    assert [one for one, _ in plain.pre_tokenizer.pre_tokenize_str("a1")] == ["a", "1"]
