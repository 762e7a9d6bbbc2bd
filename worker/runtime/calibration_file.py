"""The calibration file: read, written, and compared with the guard that is to use it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import orjson
from pydantic import TypeAdapter, ValidationError

from worker.domain.calibration import Calibration, ReasoningMode
from worker.domain.engines import EngineReference
from worker.domain.errors import UnusableFile
from worker.domain.escaping import printable
from worker.domain.verdicts import GuardReference
from worker.runtime.calibration_document import CALIBRATION_SCHEMA, CalibrationFile

CALIBRATION = TypeAdapter(CalibrationFile)
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class ReadCalibration:
    """A calibration file that was read.

    Attributes:
        sha256: of its bytes.
    """

    document: CalibrationFile
    sha256: str

    def calibration(self) -> Calibration:
        """What a guard applies to its scores."""
        questions = self.document.questions
        return Calibration(
            {name: figures.calibration() for name, figures in questions.items()}, self.sha256
        )


def encode_calibration(document: CalibrationFile) -> bytes:
    """The file's bytes."""
    option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(CALIBRATION.dump_python(document, mode="json"), option=option)


def read_calibration(path: Path) -> ReadCalibration:
    """The calibration in a file.

    Raises:
        UnusableFile: it cannot be read, or is no calibration.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnusableFile(f"{path} cannot be read: {error.strerror}.") from None
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise _refusal(path, "it is not JSON") from None
    if not isinstance(found, dict) or "schema" not in found:
        raise _refusal(path, "it has no schema")
    if found["schema"] != CALIBRATION_SCHEMA:
        raise _refusal(
            path,
            f"its schema is {_shown(found['schema'])}, this version reads {CALIBRATION_SCHEMA}",
        )
    try:
        document = CALIBRATION.validate_python(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = _shown(".".join(map(str, first["loc"]))) or "document"
        raise _refusal(
            path, f"{place}: {_shown(first['msg'].removeprefix('Value error, '))}"
        ) from None
    return ReadCalibration(document, hashlib.sha256(content).hexdigest())


def mismatch(
    document: CalibrationFile, guard: GuardReference, engine: EngineReference
) -> str | None:
    """The first thing in which a guard or its engine differs from the calibrated one.

    Returns:
        A sentence with both values, or None where the calibration is of this guard and engine.
    """
    made, of = document.guard, document.engine
    for name, ours, theirs in (
        ("guard", guard.name, made.name),
        ("model", guard.model, made.model),
        ("model's revision", guard.revision, made.revision),
        ("prompt's sha256", guard.prompt_sha256, made.prompt_sha256),
        ("engine", engine.name, of.name),
        ("engine's version", engine.version, of.version),
    ):
        if ours != theirs:
            return (
                f"The {name} is {_shown(ours)}, but the calibration was made with"
                f" {_shown(theirs)}: run `guardstream calibrate` again."
            )
    return None


def refusal(document: CalibrationFile, mode: ReasoningMode) -> str | None:
    """Why a mode cannot be used with this calibration; None where it can."""
    if mode == "always":
        return None
    figures = document.modes.get(mode)
    if figures is None:
        return f"The calibration does not say whether judging.reasoning={mode} can be used."
    if figures.released:
        return None
    why = printable(figures.why or "It gives no reason.")
    return f"The calibration does not release judging.reasoning={mode}: {why}"


def _refusal(path: Path, reason: str) -> UnusableFile:
    return UnusableFile(
        f"{path} is no calibration file that can be used: {reason};"
        " write one with `guardstream calibrate`."
    )


def _shown(value: object) -> str:
    text = printable("none" if value is None else str(value))
    return f"{text[:_SHOWN_CHARACTERS]}…" if len(text) > _SHOWN_CHARACTERS else text
