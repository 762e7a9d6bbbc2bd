"""The calibration file: what is written is read, and what is wrong is said in one sentence."""

import hashlib
from dataclasses import replace

import orjson
import pytest
from jsonschema import Draft202012Validator

from tests.unit.evaluation.calibrations import NAMES, calibration
from tests.unit.evaluation.rows import ENGINE, REFERENCE
from worker.domain.engines import EngineReference
from worker.domain.errors import UnusableFile
from worker.operator.schemas import documents
from worker.runtime.calibration_file import (
    encode_calibration,
    mismatch,
    read_calibration,
    refusal,
)


def changed(*path, to):
    """The file with another value at a place."""
    document = orjson.loads(encode_calibration(calibration()))
    place = document
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = to
    return orjson.dumps(document)


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "calibration.json"
    content = encode_calibration(calibration())
    path.write_bytes(content)
    read = read_calibration(path)
    assert read.document == calibration()
    assert read.sha256 == hashlib.sha256(content).hexdigest()
    applied = read.calibration()
    assert applied.sha256 == read.sha256
    assert tuple(applied.questions) == NAMES
    figures = calibration().questions[NAMES[0]]
    question = applied.of(NAMES[0])
    assert question.first == figures.first.curve.curve()
    assert question.reasoned == figures.reasoned.curve.curve()
    assert (question.low, question.high) == (figures.band.low, figures.band.high)
    assert question.threshold == figures.threshold.value
    assert question.combined_threshold == figures.combined.threshold.value


def test_the_schema_describes_it():
    schema = Draft202012Validator(orjson.loads(documents()["calibration.schema.json"]))
    assert list(schema.iter_errors(orjson.loads(encode_calibration(calibration())))) == []
    assert list(schema.iter_errors(orjson.loads(changed("data", to={}))))


FIRST = ("questions", NAMES[0], "first", "curve")
BAND = ("questions", NAMES[0], "band")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "it is not JSON"),
        (b"[]", "it has no schema"),
        (b'{"schema": "guardstream.calibration/9"}', "its schema is guardstream.calibration/9"),
        (b'{"schema": "guardstream.calibration/1"}', "guardstream: Field required"),
        (changed(*FIRST, "slope", to=-1), "a curve falls: its slope is negative"),
        (changed(*FIRST, "slope", to=None), "valid number"),
        (
            changed(*FIRST, to={"kind": "isotonic", "points": [[0.1, 0.2], [0.5, 0.1]]}),
            "a curve falls between two of its points",
        ),
        (
            changed(*FIRST, to={"kind": "isotonic", "points": [[0.5, 0.2], [0.5, 0.3]]}),
            "a curve falls between two of its points",
        ),
        (changed(*FIRST, to={"kind": "isotonic"}), "or lacks them"),
        (
            changed(*FIRST, to={"kind": "platt", "points": [[0, 0], [1, 1]]}),
            "has points and must not",
        ),
        (changed(*BAND, "low", to=1), "low is more than high"),
        (changed(*BAND, "high", to=1.5), "less than or equal to 1"),
        (
            changed("questions", NAMES[0], "threshold", "value", to=0.0001),
            "a threshold is outside its band",
        ),
        (changed("modes", to={"sometimes": {}}), "modes.sometimes"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_sentence(tmp_path, content, said):
    path = tmp_path / "calibration.json"
    path.write_bytes(content)
    with pytest.raises(UnusableFile) as refused:
        read_calibration(path)
    message = str(refused.value)
    assert said in message
    assert message.startswith(f"{path} ")
    assert message.endswith("write one with `guardstream calibrate`.")
    assert "\n" not in message


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UnusableFile, match="cannot be read: No such file"):
        read_calibration(tmp_path / "none.json")


def test_control_characters_of_a_file_are_not_shown(tmp_path):
    path = tmp_path / "calibration.json"
    path.write_bytes(orjson.dumps({"schema": "\x1b[2J" + "x" * 1000}))
    with pytest.raises(UnusableFile) as refused:
        read_calibration(path)
    assert "\x1b" not in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("guard", "engine", "both"),
    [
        ({"name": "other"}, {}, ("guard", "other", "guardreasoner")),
        ({"model": "n"}, {}, ("model", "n", "m")),
        ({"revision": "abc"}, {}, ("model's revision", "abc", "none")),
        ({"prompt_sha256": "00"}, {}, ("prompt's sha256", "00", REFERENCE.prompt_sha256[:60])),
        ({}, {"name": "simulated"}, ("engine", "simulated", "vllm")),
        ({}, {"version": "2"}, ("engine's version", "2", "1")),
        ({"model": "n"}, {"version": "2"}, ("model", "n", "m")),
    ],
)
def test_the_first_difference_to_the_calibrated_guard_is_named(guard, engine, both):
    name, ours, theirs = both
    said = mismatch(calibration(), replace(REFERENCE, **guard), replace(ENGINE, **engine))
    assert said is not None
    assert said.startswith(f"The {name} is {ours}, but the calibration was made with {theirs}")


def test_the_same_guard_and_engine_have_no_difference():
    assert mismatch(calibration(), REFERENCE, ENGINE) is None
    # what it is calibrated by is no difference
    assert mismatch(calibration(), replace(REFERENCE, calibration_sha256="a"), ENGINE) is None
    assert mismatch(calibration(), REFERENCE, EngineReference("vllm", "2")) is not None


def test_a_mode_that_is_not_released_is_refused_with_the_reason():
    assert [refusal(calibration(), mode) for mode in calibration().modes] == [None] * 4
    useless = calibration(separation=0.05)
    assert refusal(useless, "always") is None
    for mode in ("unsure", "flagged", "never"):
        said = refusal(useless, mode)
        assert f"judging.reasoning={mode}" in said
        assert "do not separate" in said
    without = replace(calibration(), modes={})
    assert "does not say" in refusal(without, "never")
