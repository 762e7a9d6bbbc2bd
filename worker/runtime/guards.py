"""The guard of the settings, with the calibration that its scores need."""

from dataclasses import dataclass
from pathlib import Path

from worker import guards
from worker.domain.chat import ChatTemplate, TemplateSource
from worker.domain.engines import EngineReference
from worker.domain.errors import WrongSetting
from worker.domain.guard import Guard
from worker.domain.verdicts import GuardReference, reference_to
from worker.runtime.calibration_file import ReadCalibration, mismatch, read_calibration, refusal
from worker.runtime.engines import demonstration_model, loaded_place, model_place
from worker.runtime.settings import Settings

CALIBRATION_NAME = "calibration.json"


@dataclass(frozen=True, slots=True)
class BuiltGuard:
    """A guard and what its scores were calibrated with.

    Attributes:
        path: of the calibration.
    """

    guard: Guard
    calibration: ReadCalibration | None = None
    path: Path | None = None

    def reference(self, settings: Settings) -> GuardReference:
        """The guard, as verdicts name it."""
        chosen = settings.engine
        model = "simulated" if chosen.kind == "simulated" else chosen.model
        sha256 = None if self.calibration is None else self.calibration.sha256
        return reference_to(self.guard, model, chosen.revision, sha256)

    def require_match(self, guard: GuardReference, engine: EngineReference) -> None:
        """Refuse a calibration of another guard or engine.

        Raises:
            WrongSetting: it is one.
        """
        if self.calibration is None:
            return
        different = mismatch(self.calibration.document, guard, engine)
        if different is not None:
            raise WrongSetting(f"{self.path}: {different}")


def build_guard(settings: Settings, *, calibrated: bool = True) -> BuiltGuard:
    """The guard of the settings.

    Args:
        settings: which guard, and when it reasons.
        calibrated: False takes scores as they are, in each mode: to calibrate them.

    Raises:
        WrongSetting: there is no such guard, or no calibration that allows this mode.
        UnusableFile: the calibration cannot be read.
    """
    judging = settings.judging
    path = _calibration_path(settings) if calibrated else None
    read = None if path is None else read_calibration(path)
    if calibrated and judging.reasoning != "always" and not guards.is_declared(settings.guard.name):
        if read is None:
            raise WrongSetting(
                f"judging.reasoning={judging.reasoning} needs a calibration of this guard: set"
                " judging.calibration_file to what `guardstream calibrate` wrote."
            )
        if (why := refusal(read.document, judging.reasoning)) is not None:
            raise WrongSetting(f"{path}: {why}")
    options = settings.guard.model_dump(exclude={"name"}) | judging.model_dump()
    if judging.gate_prompt_only is None:
        gating = None if read is None else read.document.gating
        options["gate_prompt_only"] = gating is not None and gating.is_on
    calibration = None if read is None else read.calibration()
    guard = guards.build_guard(settings.guard.name, options, calibration, chat_templates(settings))
    return BuiltGuard(guard, read, path)


def chat_templates(settings: Settings) -> TemplateSource:
    """The chat template of the settings' model, loaded when it is called.

    The simulated engine has that of a folder in engine.model, else a plain one.
    """

    def load() -> ChatTemplate:
        from worker.adapters.chat_template import (  # noqa: PLC0415 - jinja2
            load_chat_template,
            plain_chat_template,
        )

        chosen, place = settings.engine, loaded_place(settings)
        if chosen.kind == "simulated" and place == demonstration_model():
            return plain_chat_template(place)
        return load_chat_template(place, chosen.revision)

    return load


def _calibration_path(settings: Settings) -> Path | None:
    """The calibration file of the settings; where a mode needs one, else that of the model."""
    given, engine = settings.judging.calibration_file, settings.engine
    if given is not None:
        return Path(given)
    if settings.judging.reasoning == "always" or engine.kind == "simulated":
        return None
    path = Path(model_place(engine.model)) / CALIBRATION_NAME
    return path if path.is_file() else None
