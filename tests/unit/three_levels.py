"""A guard of another kind than GuardReasoner: two questions of its own, three labels, two requests.

It stands for a guard that somebody adds: nothing outside this file knows its questions.
"""

import hashlib
from typing import ClassVar

from worker.domain.engines import Continuation, EngineRequest, LabelPlace
from worker.domain.guard import CompletionSpan
from worker.domain.judgements import Category, Judgement, Reading, status_of
from worker.domain.prompts import Prompt
from worker.domain.questions import Question

SELF_HARM = Question("self_harm", "prompt", ("none", "some", "severe"), "severe", "Self-harm?")
TONE = Question("tone", "response", ("calm", "heated", "hostile"), "hostile", "What is the tone?")


class ThreeLevels:
    name = "three_levels"
    questions = (SELF_HARM, TONE)
    flags: ClassVar[dict] = {}
    prompt_sha256 = hashlib.sha256(b"three levels").hexdigest()
    options: ClassVar[list] = []

    @classmethod
    def from_options(cls, options, calibration=None, templates=None):  # noqa: ARG003
        cls.options.append(options)
        return cls()

    def judge(self, exchange):
        request = _closed(SELF_HARM, Prompt((f"Request: {exchange.prompt}\nSelf-harm: ",)))
        completion = yield request
        readings = {SELF_HARM.name: _reading(SELF_HARM, completion)}
        if exchange.response is not None:
            text = f"\nResponse: {exchange.response}\nTone: "
            following = yield _closed(TONE, Continuation(request, text, completion))
            readings[TONE.name] = _reading(TONE, following)
        has_response = exchange.response is not None
        return Judgement(
            status_of(self.questions, readings, has_response=has_response),
            readings,
            categories=(Category(SELF_HARM.name, "S1", "Self-harm"),),
            severity=completion.text,
            reasoned=False,
        )

    def spans(self, exchange, completions):  # noqa: ARG002 - the protocol's
        names = [question.name for question in self.questions]
        return tuple(
            (CompletionSpan(0, len(one.text), "label", name),)
            for one, name in zip(completions, names, strict=False)
        )


def _closed(question, prompt):
    return EngineRequest(
        prompt, max_tokens=4, choices=question.labels, scores=(LabelPlace(question.labels),)
    )


def _reading(question, completion):
    label = completion.text if completion.text in question.labels else None
    (logprobs,) = completion.logprobs or ({},)
    logprob = logprobs.get(question.positive)
    score = None if logprob is None else 2.718281828459045**logprob
    return Reading(label, score, "answer" if label else None)
