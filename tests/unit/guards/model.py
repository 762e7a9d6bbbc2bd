"""A model in memory that writes what a test gives it, as an engine completes requests."""

import math

from worker.domain.engines import Completion, Usage, up_to_stop

NOTHING = Usage(0, 0, 0)
BLOCK = ("\nCompletion:", "\nResponse:")


class Model:
    """Answers each request of a guard; `requests` are those that it saw.

    Args:
        whole: what it writes after a prompt, from the first task to the answers.
        first: the probability of the positive label of each question before reasoning.
        after: the same, after reasoning.
        mass: of all labels together, before reasoning.
    """

    def __init__(self, whole="", first=(), after=(), mass=0.99):
        self.whole = whole
        self.first = first
        self.after = after
        self.mass = mass
        self.requests = []
        self.written = ""

    def judge(self, guard, exchange):
        asking = guard.judge(exchange)
        request = next(asking)
        self.completions = []
        try:
            while True:
                self.requests.append(request)
                self.completions.append(self.complete(request))
                request = asking.send(self.completions[-1])
        except StopIteration as end:
            return end.value

    def complete(self, request):
        if request.scores and len(self.requests) == 1:
            return self.block(request, self.first, self.mass)
        if request.scores and not request.choices:
            answer = self.block(request, self.after, 0.99)
            self.written += answer.text
            return answer
        text, stop = up_to_stop(self.whole[len(self.written) :], request.stop)
        self.written += text + (stop or "")
        return Completion(text, "stop", NOTHING, (len(self.requests),), (), stop)

    def block(self, request, probabilities, mass):
        """The labels that these probabilities make the likelier ones, and how likely they are."""
        text, logprobs = "", []
        for place, probability in zip(request.scores, probabilities, strict=True):
            positive = next(one for one in place.labels if one in (" harmful", " refusal"))
            other = next(one for one in place.labels if one != positive)
            text += place.after + (positive if probability >= 0.5 else other)
            shares = {positive: probability * mass, other: (1 - probability) * mass}
            logprobs.append({label: math.log(share) for label, share in shares.items()})
        return Completion(text, "stop", NOTHING, (len(self.requests),), tuple(logprobs))
