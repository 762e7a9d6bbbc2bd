"""Labelled events with scores, drawn at random, for tests of calibration."""

import math
import random

from worker.domain.calibration import sigmoid
from worker.domain.questions import STANDARD_QUESTIONS
from worker.evaluation.scored import Cost, RawScore, ScoredEvent

FIRST, AFTER = Cost(10, 1), Cost(200, 2)


def scored(count=400, *, separation=8.0, sharpness=1.0, mass=0.9, share=0.4, mistakes=0.02, seed=0):
    """Events whose first scores differ by `separation` log odds between labels.

    With a `sharpness` of 1 the scores are probabilities; with more, they claim too much.
    """
    draw = random.Random(seed)
    return [_event(draw, separation, sharpness, mass, share, mistakes) for _ in range(count)]


def _event(draw, separation, sharpness, mass, share, mistakes):
    labels, reasoned, scores = {}, {}, {}
    for question in STANDARD_QUESTIONS:
        positive = question.positive
        other = next(label for label in question.labels if label != positive)
        truth = draw.random() < share
        labels[question.name] = positive if truth else other
        right = draw.random() >= mistakes
        reasoned[question.name] = positive if truth == right else other
        # two normal distributions with this distance and variance have such log odds
        odds = draw.gauss((separation if truth else -separation) / 2, math.sqrt(separation))
        odds += math.log(share / (1 - share))
        after = 6.0 if truth == right else -6.0
        scores[question.name] = RawScore(
            sigmoid(sharpness * odds), mass, sigmoid(after + draw.gauss(0, 1)), 0.99
        )
    return ScoredEvent(labels, reasoned, scores, FIRST, AFTER)
