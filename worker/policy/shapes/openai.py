"""The shape `openai-moderation`: what OpenAI's moderation endpoint answers.

Source: the reference of `POST /v1/moderations`, models omni-moderation, of 2026: 13 categories,
each with a boolean, a score and the types of input that it was applied to.
"""

from collections.abc import Mapping
from typing import Any

from worker.domain.decisions import Decision
from worker.domain.judgements import Category
from worker.domain.verdicts import Verdict

CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
# the names of guards' categories, in lower case, where one of OpenAI's means about the same
_KNOWN_AS = {name: name for name in CATEGORIES} | {
    "child sexual exploitation": "sexual/minors",
    "indiscriminate weapons": "illicit/violent",
    "non-violent crimes": "illicit",
    "non-violent illegal acts": "illicit",
    "sexual content": "sexual",
    "sexual content or sexual acts": "sexual",
    "suicide & self-harm": "self-harm",
    "violent": "violence",
    "violent crimes": "violence",
}
_PASSING = frozenset(("allow", "log"))
_REPORTED_WITHOUT_SCORE = 1.0


def openai_moderation(decision: Decision, verdict: Verdict) -> Mapping[str, Any]:
    """The answer, with one result.

    `flagged` is true for each action other than `allow` and `log`. A category that the guard
    reports is true, under its own name where OpenAI has none for it. Its score is the guard's for
    it, else that of its task, else 1; the score of a category that is not reported is 0.
    """
    scores = dict.fromkeys(CATEGORIES, 0.0)
    reported = set()
    for one in verdict.categories:
        name = _KNOWN_AS.get(one.name.lower(), one.name)
        scores[name] = max(_score(one, verdict), scores.get(name, 0.0))
        reported.add(name)
    result = {
        "flagged": decision.action not in _PASSING,
        "categories": {name: name in reported for name in scores},
        "category_scores": scores,
        "category_applied_input_types": {name: ["text"] for name in scores},
    }
    return {"id": decision.decision_id, "model": verdict.guard.model, "results": [result]}


def _score(category: Category, verdict: Verdict) -> float:
    if category.score is not None:
        return category.score
    of_task = verdict.readings().get(category.task)
    if of_task is None or of_task.score is None:
        return _REPORTED_WITHOUT_SCORE
    return of_task.score
