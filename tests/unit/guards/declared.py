"""What tests of declared guards share: a chat template and an engine in memory."""

import math

from worker.domain.engines import Completion, Usage
from worker.domain.prompts import Control, Prompt
from worker.guards import build_guard
from worker.guards.declared.loading import path_of, read_description

NOTHING = Usage(0, 0, 0)
START, END = Control("<|start|>"), Control("<|end|>")


class Template:
    """Writes each message as a turn; keeps what it was given."""

    def __init__(self):
        self.seen = []

    def render(self, messages, arguments, *, as_parts=False, add_generation_prompt=True):
        self.seen.append((tuple(messages), dict(arguments), as_parts))
        turns = [run for one in messages for run in (START, f"{one.role}\n{one.text}", END)]
        return Prompt((*turns, *((START, "assistant\n") if add_generation_prompt else ())))


def declared(name, template=None, **settings):
    template = template or Template()
    return build_guard(str(name), settings, None, lambda: template)


def shipped_guard(name, template=None, **settings):
    """A guard that ships, with a text for each option that must be set."""
    required = read_description(path_of(name)).required
    options = {option: f"({option})" for option in required} | settings.pop("options", {})
    return declared(name, template, options=options, **settings)


def completion(text, *logprobs, reason="stop"):
    return Completion(text, reason, NOTHING, (1,), tuple(logprobs))


def probabilities(**shares):
    """The natural logarithms; blanks before words are underscores."""
    return {word.replace("_", " "): math.log(share) for word, share in shares.items()}


class Engine:
    """Answers the calls of a guard with texts, and forced requests with words.

    Args:
        answers: a text or a completion for each call, in order.
        words: for the forced requests, in order: the first that is a choice is taken.
        mass: of the choices of a forced request together.
    """

    def __init__(self, *answers, words=(), mass=0.95):
        self.answers = list(answers)
        self.words = list(words)
        self.mass = mass
        self.requests = []

    def judge(self, guard, exchange):
        asking = guard.judge(exchange)
        request = next(asking)
        try:
            while True:
                self.requests.append(request)
                said = self.forced(request) if request.choices else self.answers.pop(0)
                if isinstance(said, str):
                    said = completion(said)
                request = asking.throw(said) if isinstance(said, Exception) else asking.send(said)
        except StopIteration as end:
            return end.value

    def forced(self, request):
        word = self.words.pop(0)
        if isinstance(word, Exception):
            return word
        chosen = next(one for one in request.choices if one.strip() == word)
        others = len(request.choices) - 1
        shares = {
            one: self.mass * (0.9 if one == chosen else 0.1 / others) for one in request.choices
        }
        return completion(chosen, {one: math.log(share) for one, share in shares.items()})
