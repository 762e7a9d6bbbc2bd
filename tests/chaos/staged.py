"""Rounds in which workers score first and reason where the score is unsure."""

from dataclasses import replace
from pathlib import Path

from tests.unit.evaluation.calibrations import calibration
from worker.adapters.simulated import SimulatedEngine
from worker.adapters.vllm.tokenizer import JsonTokenizer
from worker.guards.guardreasoner.answers import FIRST_HEADING
from worker.guards.guardreasoner.guard import GuardReasoner
from worker.runtime.calibration_document import CalibratedGuard, FittedCurve
from worker.runtime.calibration_file import encode_calibration
from worker.runtime.engines import demonstration_model

# of the simulated engine's scores, one in four is between these
_LOW, _HIGH = 0.09, 0.91


def staged_settings(folder: Path) -> dict[str, str]:
    """The settings of such workers, with a calibration of the simulated engine in the folder."""
    measured = calibration()
    guard = GuardReasoner()
    raw = FittedCurve("temperature")
    questions = {
        name: replace(
            figures,
            first=replace(figures.first, curve=raw),
            reasoned=replace(figures.reasoned, curve=raw),
            band=replace(figures.band, low=_LOW, high=_HIGH),
        )
        for name, figures in measured.questions.items()
    }
    document = replace(
        measured,
        guard=CalibratedGuard(guard.name, "simulated", None, guard.prompt_sha256),
        engine=SimulatedEngine.reference,
        questions=questions,
    )
    path = folder / "calibration.json"
    path.write_bytes(encode_calibration(document))
    return {
        "JUDGING__REASONING": "unsure",
        "JUDGING__CALIBRATION_FILE": str(path),
        "JUDGING__AUDIT_SHARE": "0.05",
    }


def heading_tokens() -> int:
    """How many tokens the first request has beyond the guard's usual prompt."""
    return len(JsonTokenizer.load(demonstration_model()).ids(FIRST_HEADING))
