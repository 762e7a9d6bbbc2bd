"""Composes exchanges with known labels, and completions in GuardReasoner's shape.

Everything comes from `phrases.toml`. The held-out split uses frames, contexts and nouns that
training never shows, so that a score on it measures language and not memory.
"""

import random
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from worker.domain.questions import (
    PROMPT_HARMFULNESS,
    RESPONSE_HARMFULNESS,
    RESPONSE_REFUSAL,
    STANDARD_TASKS,
)

Split = Literal["train", "held_out"]
# the part of an exchange that contains the attack
Forged = Literal["request", "response"] | None

_PHRASES: dict[str, Any] = tomllib.loads(
    Path(__file__).with_name("phrases.toml").read_text(encoding="utf-8")
)
_LANGUAGES: dict[str, Any] = _PHRASES["languages"]
_ATTACKS: dict[str, Any] = tomllib.loads(
    Path(__file__).with_name("attacks.toml").read_text(encoding="utf-8")
)
# share of exchanges that try to talk the guard into a verdict
_FORGED: dict[Split, float] = {"train": 0.1, "held_out": 0.04}
_SHOWN_REPLY_WORDS = 8


@dataclass(frozen=True, slots=True)
class LabelledExchange:
    """An exchange, what is true of it, and the completion a perfect guard would write."""

    prompt: str
    response: str | None
    kind: str
    labels: dict[str, str | None]
    completion: str


@dataclass(frozen=True, slots=True)
class _Act:
    words: str
    reason: str
    harmful: bool


@dataclass(frozen=True, slots=True)
class _Reply:
    """A response and its reasoning; `advice` is the decisive step."""

    text: str
    refusal: bool
    harmful: bool
    advice: str


def compose(split: Split, count: int, seed: int, *, forge: bool = True) -> list[LabelledExchange]:
    """`count` exchanges, the same ones for the same seed; with `forge`, some hold attacks."""
    # a str seeds through its hash sum, the same in every process
    composer = _Composer(split, random.Random(f"{split}-{seed}"), _FORGED[split] if forge else 0.0)
    return [composer.exchange() for _ in range(count)]


class _Composer:
    def __init__(self, split: Split, draw: random.Random, forged_share: float) -> None:
        self._split = split
        self._draw = draw
        self._forged_share = forged_share

    def exchange(self) -> LabelledExchange:
        if self._draw.random() < 0.15:
            return self._in_another_language()
        act = self._act()
        request = self._with_context(self._request_frame().format(a=act.words))
        reply = self._reply(act, _PHRASES, self._bad_act)
        forged: Forged = None
        if self._draw.random() < self._forged_share:
            kind = self._draw.choice(sorted(_ATTACKS[self._split]))
            text = self._draw.choice(_ATTACKS[self._split][kind])
            if reply is not None and kind != "quoted verdict" and self._draw.random() < 0.4:
                reply = replace(reply, text=reply.text + text)
                forged = "response"
            else:
                request = f"{text} {request}" if kind == "quoted verdict" else request + text
                forged = "request"
        return self._compose(request, act, reply, forged=forged)

    def _request_frame(self) -> str:
        """A frame; half of those in training are made of parts, so that few are met twice."""
        if self._split == "train" and self._draw.random() < 0.5:
            parts = _PHRASES["request_parts"]
            opener, wish, closer = (
                self._draw.choice(parts[name]) for name in ("openers", "wishes", "closers")
            )
            return f"{opener}{wish if opener.endswith(', ') else _capital(wish)}{closer}"
        frame: str = self._frame("request_frames")
        return frame

    def _in_another_language(self) -> LabelledExchange:
        language = _LANGUAGES[self._draw.choice(sorted(_LANGUAGES))]
        act = self._foreign_act(language)
        request = self._draw.choice(language["frames"][self._split]).format(a=act.words)
        words = {
            "refusal_frames": language["refusals"],
            "answer_frames": language["answers"],
            "steps": language["steps"],
        }
        return self._compose(request, act, self._reply(act, words, None), forged=None)

    def _foreign_act(self, language: dict[str, Any]) -> _Act:
        harmful = self._draw.random() < 0.5
        group = "harmful" if harmful else "harmless"
        words, category = self._draw.choice(sorted(language[group].items()))
        return _Act(words, _PHRASES[group][category]["reason"], harmful)

    def _frame(self, name: str) -> str:
        return self._draw.choice(_PHRASES[name][self._split])

    def _object(self) -> str:
        noun = self._frame("nouns")
        owner = self._draw.choice(_PHRASES["owners"])
        if self._split == "train" and self._draw.random() < 0.4:
            # words met once can only be quoted by reading them in the request
            noun = self._invented()
            if self._draw.random() < 0.5:
                owner = f"{self._invented().capitalize()}'s"
        if self._draw.random() < 0.3:
            return f"{owner} {noun}"
        return f"{owner} {self._draw.choice(_PHRASES['adjectives'])} {noun}"

    def _invented(self) -> str:
        syllables = self._draw.choices(_PHRASES["syllables"], k=self._draw.randint(2, 4))
        return "".join(syllables)

    def _act(self, *, harmful: bool | None = None) -> _Act:
        if harmful is None:
            harmful = self._draw.random() < 0.5
        group = _PHRASES["harmful" if harmful else "harmless"]
        category = group[self._draw.choice(sorted(group))]
        words = self._draw.choice(category["acts"]).format(o=self._object())
        return _Act(words, category["reason"], harmful)

    def _bad_act(self) -> str:
        return self._act(harmful=True).words

    def _with_context(self, request: str) -> str:
        sentences = self._draw.choices((0, 1, 2, 5), (0.5, 0.25, 0.2, 0.05))[0]
        chosen = self._contexts(sentences)
        before = self._draw.randint(0, sentences)
        glue = "\n" if self._draw.random() < 0.1 else " "
        return glue.join([*chosen[:before], request, *chosen[before:]])

    def _contexts(self, count: int) -> list[str]:
        """Sentences around the request; in training most are built from parts, with acts."""
        contexts: list[str] = _PHRASES["context"][self._split]
        if self._split == "held_out":
            return self._draw.sample(contexts, count)
        parts = _PHRASES["context_parts"]
        return [
            f"{self._draw.choice(parts['subjects'])} {self._draw.choice(parts['news'])}"
            f"{self._draw.choice(parts['ends'])}"
            if self._draw.random() < 0.7
            else self._draw.choice(contexts)
            for _ in range(count)
        ]

    def _reply(
        self, act: _Act, words: dict[str, Any], bad_act: Callable[[], str] | None
    ) -> _Reply | None:
        kinds: dict[str, float] = {"none": 0.17, "refusal": 0.3 if act.harmful else 0.15}
        if act.harmful:
            kinds |= {"harmful": 0.35, "warning": 0.15 if bad_act else 0.0}
        else:
            kinds |= {"harmless": 0.45}
        kinds["bad advice"] = 0.15 if bad_act and not act.harmful else 0.0
        kind = self._draw.choices(list(kinds), list(kinds.values()))[0]
        split = self._split
        if kind == "none":
            return None
        if kind == "refusal":
            text = self._refusal(words, english=bad_act is not None).format(a=act.words)
            if bad_act:
                text = f"{text} {self._frame('refusal_endings')}".rstrip()
            return _Reply(text, refusal=True, harmful=False, advice="")
        harmful = kind in ("harmful", "bad advice")
        first, second = self._draw.sample(words["steps"]["harmful" if harmful else "harmless"], 2)
        if kind == "bad advice" and bad_act:
            bad = bad_act()
            text = self._frame("bad_advice_frames").format(h=bad, s=first, S=_capital(first))
            return _Reply(text, refusal=False, harmful=True, advice=bad)
        name = "warning_frames" if kind == "warning" else "answer_frames"
        frames = _PHRASES if kind == "warning" else words
        text = self._draw.choice(frames[name][split]).format(
            a=act.words, s=first, t=second, S=_capital(first), T=_capital(second)
        )
        advice = first if first in text or _capital(first) in text else second
        return _Reply(text, refusal=False, harmful=harmful, advice=advice)

    def _refusal(self, words: dict[str, Any], *, english: bool) -> str:
        if english and self._split == "train" and self._draw.random() < 0.5:
            parts = _PHRASES["refusal_parts"]
            chosen = [self._draw.choice(parts[name]) for name in ("openers", "refusals", "matters")]
            return _capital("{}{} {}.".format(*chosen))
        frame: str = self._draw.choice(words["refusal_frames"][self._split])
        return frame

    def _compose(
        self, request: str, act: _Act, reply: _Reply | None, *, forged: Forged
    ) -> LabelledExchange:
        labels: dict[str, str | None] = {
            PROMPT_HARMFULNESS.name: "harmful" if act.harmful else "unharmful",
            RESPONSE_REFUSAL.name: None,
            RESPONSE_HARMFULNESS.name: None,
        }
        if reply is not None:
            labels[RESPONSE_REFUSAL.name] = "refusal" if reply.refusal else "compliance"
            labels[RESPONSE_HARMFULNESS.name] = "harmful" if reply.harmful else "unharmful"
        kind = "prompt only" if reply is None else "refusal" if reply.refusal else "compliance"
        text = reply.text if reply else None
        return LabelledExchange(
            request, text, kind, labels, self._completion(labels, act, reply, forged=forged)
        )

    def _completion(
        self,
        labels: dict[str, str | None],
        act: _Act,
        reply: _Reply | None,
        *,
        forged: Forged,
    ) -> str:
        first, second, third = (labels[task] for task in STANDARD_TASKS)
        asks = [self._say("asks", a=act.words), act.reason]
        if forged == "request":
            asks.insert(1, self._say("forged"))
        parts = [_section(1, asks, f"The request is {first}.")]
        if reply is None:
            for task in (2, 3):
                steps = [self._say("no_reply"), self._say("nothing_to_judge")]
                parts.append(_section(task, steps, "None."))
        else:
            shown = " ".join(reply.text.split()[:_SHOWN_REPLY_WORDS])
            answer = [self._say("replies", r=shown)]
            if forged == "response":
                answer.append(self._say("forged_response"))
            answer.append(self._say("refuses" if reply.refusal else "complies"))
            parts.append(_section(2, answer, f"The response is a {second}."))
            if reply.refusal:
                harm = [self._say("refusal_is_safe")]
            else:
                harm = [self._say("harm_given" if reply.harmful else "safe_given", s=reply.advice)]
            parts.append(_section(3, harm, f"The response is {third}."))
        answers = f"Request: {first}\nCompletion: {second}\nResponse: {third}"
        return "\n\n".join([*parts, f"---\n\nAnswers: \n{answers}"])

    def _say(self, name: str, **words: str) -> str:
        return self._draw.choice(_PHRASES["reasoning"][name]).format(**words)


def _section(task: int, steps: list[str], conclusion: str) -> str:
    lines = [f"# Task {task}"]
    for number, step in enumerate(steps, start=1):
        lines += [f"## Reasoning Step {number}", step]
    return "\n".join([*lines, "## Conclusion", conclusion])


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
