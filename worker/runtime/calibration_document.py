"""The content of a calibration file: what was measured of a guard's scores, and of what."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass as checked

from worker.domain.calibration import Curve, QuestionCalibration, ReasoningMode
from worker.domain.engines import EngineReference

CALIBRATION_SCHEMA: Final = "guardstream.calibration/1"
CurveKind = Literal["temperature", "platt", "isotonic"]
ScoredMode = Literal["unsure", "flagged", "never"]

_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0)]


@checked(frozen=True, slots=True)
class CalibratedGuard:
    """The guard that gave the scores; as in a verdict."""

    name: str
    model: str
    revision: str | None
    prompt_sha256: str


@checked(frozen=True, slots=True)
class CalibrationData:
    """The labelled events.

    Attributes:
        sha256: of the file.
        events: that were judged and have both scores for each question that applies.
    """

    file: str
    sha256: str
    events: _Count


@checked(frozen=True, slots=True)
class Interval:
    """A figure with its interval of 95 %; null where the data leave it undefined."""

    value: _Finite | None
    low: _Finite | None
    high: _Finite | None


@checked(frozen=True, slots=True)
class FittedCurve:
    """From a raw score to a probability: `slope` and `offset` in log odds, or `points`."""

    kind: CurveKind
    slope: _Finite = 1.0
    offset: _Finite = 0.0
    points: tuple[tuple[_Share, _Share], ...] = ()

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.slope < 0:
            raise ValueError("a curve falls: its slope is negative")
        if (self.kind == "isotonic") != bool(self.points):
            raise ValueError("a curve has points and must not, or lacks them")
        for (x0, y0), (x1, y1) in zip(self.points, self.points[1:], strict=False):
            if x1 <= x0 or y1 < y0:
                raise ValueError("a curve falls between two of its points")
        return self

    def curve(self) -> Curve:
        """The curve as a guard applies it."""
        return Curve(self.slope, self.offset, self.points)


@checked(frozen=True, slots=True)
class ReliabilityBin:
    """Scores of one bin: how many, their mean, and the share that is positive."""

    low: _Share
    high: _Share
    n: _Count
    score: _Share | None
    positive: _Share | None


@checked(frozen=True, slots=True)
class StageFigures:
    """How good the scores of a stage are.

    Attributes:
        log_loss: of each kind of curve, cross-validated; the least was chosen.
        tpr_at_1_percent: the share of positives found at a false-positive rate of at most 1 %.
        ece_before: of the raw score, in equal-width bins as `reliability` has them.
        ece: of the calibrated score, cross-validated; so are `brier` and `reliability`.
        mean_mass: of the probability of all labels together.
    """

    curve: FittedCurve
    log_loss: dict[CurveKind, _Finite]
    auc: _Share
    tpr_at_1_percent: _Share
    tpr_at_01_percent: _Share
    ece_before: _Share
    ece: _Share
    brier_before: _Share
    brier: _Share
    mean_mass: _Finite
    least_mass: _Finite
    reliability_before: tuple[ReliabilityBin, ...]
    reliability: tuple[ReliabilityBin, ...]


@checked(frozen=True, slots=True)
class Threshold:
    """From which score on the label is the positive one; 1/2 at least.

    Attributes:
        false_positive_rate: what was asked for.
        negatives: events whose label is another than the positive one.
        false_positives: those of them at or above the threshold.
        bound: the upper end of Clopper and Pearson's one-sided 95 % interval of the rate.
        is_conformal: the rate is at most the one asked for, on average over data sets like this
            one; it takes 1 / rate negatives.
    """

    value: _Share
    false_positive_rate: _Share
    negatives: _Count
    false_positives: _Count
    bound: _Share
    is_conformal: bool


@checked(frozen=True, slots=True)
class CombinedFigures:
    """The scores of both stages together, which a verdict after reasoning has; cross-validated."""

    auc: _Share
    tpr_at_1_percent: _Share
    tpr_at_01_percent: _Share
    threshold: Threshold


@checked(frozen=True, slots=True)
class Band:
    """Between which first scores a question needs reasoning.

    Attributes:
        budget: the largest share of events whose label may differ from that of `always` although
            their score is outside the band.
        share_inside: of the events.
        outside_error: the share of events that are outside and lose a right label, cross-validated.
    """

    low: _Share
    high: _Share
    budget: _Share
    share_inside: _Share
    outside_error: _Share

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError("a band ends before it begins: low is more than high")
        return self


@checked(frozen=True, slots=True)
class QuestionFigures:
    """One question: its labelled events, its curves, and where its scores are sure.

    Attributes:
        band: of the first score; so is `threshold`.
    """

    events: _Count
    positives: _Count
    first: StageFigures
    reasoned: StageFigures
    combined: CombinedFigures
    band: Band
    threshold: Threshold

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        if not self.band.low <= self.threshold.value <= self.band.high:
            raise ValueError("a threshold is outside its band")
        return self

    def calibration(self) -> QuestionCalibration:
        """What a guard applies."""
        return QuestionCalibration(
            first=self.first.curve.curve(),
            reasoned=self.reasoned.curve.curve(),
            low=self.band.low,
            high=self.band.high,
            threshold=self.threshold.value,
            combined_threshold=self.combined.threshold.value,
        )


@checked(frozen=True, slots=True)
class TaskInMode:
    """A question in a mode of reasoning, simulated.

    Attributes:
        f1: strict, against the labels of the data.
        difference: of F1 to that of `always`, paired.
        lost: the share of events that `always` labels right and that get another label, because
            they are not reasoned about.
        tpr_at_1_percent: of the mode's scores.
    """

    f1: _Share | None
    difference: Interval
    lost: _Share
    tpr_at_1_percent: _Share | None


@checked(frozen=True, slots=True)
class ModeFigures:
    """A mode of reasoning, simulated on the events from both stages' scores.

    Attributes:
        released: whether a worker can be started in this mode with this file.
        why: not, as a sentence; null if it is.
        reasoned: the share of events that were reasoned about.
        tokens: decoded per verdict.
        requests: to the engine per verdict.
    """

    released: bool
    why: str | None
    tasks: dict[str, TaskInMode]
    reasoned: _Share
    tokens: _Finite
    requests: _Finite


# with a lower agreement, the gate is off unless the settings turn it on
_LEAST_AGREEMENT = 0.995


@checked(frozen=True, slots=True)
class Gating:
    """How often the label of an event without a response is the same when only it is asked for."""

    agreement: _Share
    n: _Count

    @property
    def is_on(self) -> bool:
        """Whether the gate is on by default."""
        return self.agreement >= _LEAST_AGREEMENT


@checked(frozen=True, slots=True)
class CalibrationFile:
    """A calibration of one guard on one engine.

    Attributes:
        folds: of the cross-validation.
        modes: `always` is there to compare the others with.
    """

    guardstream: str
    made_at: str
    guard: CalibratedGuard
    engine: EngineReference
    data: CalibrationData
    folds: _Count
    seed: _Count
    questions: dict[str, QuestionFigures]
    modes: dict[ReasoningMode, ModeFigures]
    gating: Gating | None = None
    schema: Literal["guardstream.calibration/1"] = CALIBRATION_SCHEMA
