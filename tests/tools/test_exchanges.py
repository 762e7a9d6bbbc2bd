"""What the demonstration guard is trained and scored on."""

import re
import tomllib
from pathlib import Path

import pytest

from training import exchanges
from training.exchanges import compose
from worker.guards.guardreasoner.parser import parse


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_a_perfect_completion_reads_back_as_the_labels(split):
    for example in compose(split, 500, 3):
        judgement = parse(
            example.completion, has_response=example.response is not None, finish_reason="stop"
        )
        assert judgement.status == "complete"
        assert not judgement.flags
        assert {t: judgement.reading(t).label for t in example.labels} == example.labels


def test_the_same_seed_composes_the_same_exchanges():
    assert compose("train", 50, 3) == compose("train", 50, 3)
    assert compose("train", 50, 3) != compose("train", 50, 4)


def test_no_phrase_is_both_trained_on_and_held_out():
    for name, split in _splits(_phrases()):
        train, held_out = ({_plain(one) for one in split[key]} for key in ("train", "held_out"))
        assert not train & held_out - {""}, name


def test_nothing_held_out_is_composed_for_training():
    trained = _plain("\n".join(f"{e.prompt}\n{e.response}" for e in compose("train", 4000, 3)))
    for name, split in _splits(_phrases()):
        for phrase in split["held_out"]:
            # of a frame, the words around the act; a short run of them is nobody's own
            for run in re.split(r"\{\w\}", phrase):
                if name == "nouns" or len(_plain(run).split()) > 3:
                    assert f" {_plain(run)} " not in f" {trained} ", run


def test_no_attack_is_both_trained_on_and_held_out():
    attacks = tomllib.loads(Path(exchanges.__file__).with_name("attacks.toml").read_text())
    trained = [text for texts in attacks["train"].values() for text in texts]
    held_out = [text for texts in attacks["held_out"].values() for text in texts]
    assert attacks["train"].keys() == attacks["held_out"].keys()
    assert not set(trained) & set(held_out)
    composed = "\n".join(f"{e.prompt}\n{e.response}" for e in compose("train", 4000, 3))
    assert any(text in composed for text in trained)
    assert not any(text in composed for text in held_out)


def _plain(text):
    """Its words alone: another comma or capital makes no other phrase."""
    return " ".join(re.findall(r"\w+", text.lower()))


def _splits(table):
    for key, value in table.items():
        if isinstance(value, dict):
            if "held_out" in value:
                yield key, value
            else:
                yield from _splits(value)


def _phrases():
    return tomllib.loads(Path(exchanges.__file__).with_name("phrases.toml").read_text())
