"""Calibration: what a guard's scores are worth, measured on labelled events.

A raw score is the probability of the positive label among the labels, as the model gives it. Models
are overconfident, and differently so before and after reasoning, so a score is read by the curve of
its question and stage (Guo et al., arXiv:1706.04599; Liu et al., arXiv:2410.10414 for guards).
"""

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Stage = Literal["first", "reasoned"]
ReasoningMode = Literal["always", "unsure", "flagged", "never"]

# digits of a score after the point; labels and bands are decided on the rounded score
SCORE_DIGITS = 4
# a probability is never quite certain: a logit must be finite
_LEAST = 1e-6


def logit(probability: float) -> float:
    """The log odds of a probability, which is kept off 0 and 1."""
    held = min(max(probability, _LEAST), 1 - _LEAST)
    return math.log(held / (1 - held))


def sigmoid(log_odds: float) -> float:
    """The probability of log odds."""
    # a steep curve far from its middle would overflow
    if log_odds < 0:
        odds = math.exp(log_odds)
        return odds / (1 + odds)
    return 1 / (1 + math.exp(-log_odds))


@dataclass(frozen=True, slots=True)
class Curve:
    """From a raw score to a probability: a line in log odds, or straight lines between points.

    Attributes:
        slope: of the line; temperature scaling has the slope 1 / temperature and no offset.
        offset: of the line; with it, this is Platt scaling.
        points: (raw score, probability), both rising; used in place of the line where given
            (isotonic regression).
    """

    slope: float = 1.0
    offset: float = 0.0
    points: tuple[tuple[float, float], ...] = ()

    def probability(self, raw: float) -> float:
        """The calibrated probability of the positive label."""
        if not self.points:
            return sigmoid(self.slope * logit(raw) + self.offset)
        at = bisect_left(self.points, (raw, -math.inf))
        if at == 0:
            return self.points[0][1]
        if at == len(self.points):
            return self.points[-1][1]
        (x0, y0), (x1, y1) = self.points[at - 1], self.points[at]
        return y0 + (y1 - y0) * (raw - x0) / (x1 - x0)


@dataclass(frozen=True, slots=True)
class QuestionCalibration:
    """The curves of a question, and between which probabilities its first score is unsure.

    Attributes:
        first: of the score before any reasoning.
        reasoned: of the score after it.
        low: at or below this probability the negative label is sure.
        high: at or above this probability the positive label is sure.
        threshold: from this first probability on, the label is the positive one.
        combined_threshold: the same of a probability by both stages, which is another score.
    """

    first: Curve = Curve()
    reasoned: Curve = Curve()
    low: float = 0.0
    high: float = 1.0
    threshold: float = 0.5
    combined_threshold: float = 0.5

    def is_unsure(self, probability: float) -> bool:
        """Whether a first score needs reasoning."""
        return self.low < probability < self.high

    def combined(self, first: float, reasoned: float) -> float:
        """The probability by both stages: the mean of their log odds.

        Their errors differ, so the mean ranks better than either (arXiv:2510.21049, 2601.04603).
        """
        return sigmoid((logit(first) + logit(reasoned)) / 2)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured of a guard; without a file, scores are taken as they are.

    Attributes:
        questions: by name.
        sha256: of the file.
    """

    questions: Mapping[str, QuestionCalibration] = field(default_factory=dict)
    sha256: str | None = None

    def of(self, question: str) -> QuestionCalibration:
        """The calibration of a question."""
        return self.questions.get(question, _NONE)


_NONE = QuestionCalibration()
UNCALIBRATED = Calibration()
