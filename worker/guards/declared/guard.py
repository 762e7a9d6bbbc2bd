"""A guard that is declared in a file."""

import hashlib
import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

from typing_extensions import override

from worker.domain.calibration import UNCALIBRATED, Calibration
from worker.domain.chat import ChatTemplate, TemplateSource
from worker.domain.engines import Completion, Continuation, EngineRequest, LabelPlace
from worker.domain.errors import InvalidRequest, PromptTooLong, WrongSetting
from worker.domain.events import CONTEXT_TRUNCATED, Exchange, Turn
from worker.domain.guard import Asking, CompletionSpan, Guard, NamesCategories
from worker.domain.judgements import Judgement, status_of
from worker.domain.prompts import Control, Prompt
from worker.domain.questions import Question
from worker.guards.declared.plan import PlannedCall, PlannedRead, questions_of
from worker.guards.declared.reading import (
    FLAGS,
    IMPROBABLE,
    REPAIRED,
    Answer,
    Scoring,
    read_answer,
    read_forced,
    severity_of,
    spans_of,
)
from worker.guards.declared.tasks import in_standard_order
from worker.guards.declared.wording import LaterPrompt

# a word has a few tokens
_MOST_FORCED_TOKENS = 16
_SAMPLE = Exchange("{prompt}", "{response}")
_EARLIER = (Turn("user", "{earlier prompt}"), Turn("assistant", "{earlier response}"))

_Asked = list[tuple[PlannedCall | PlannedRead, Completion]]
_Requests = Generator[EngineRequest, Completion, Judgement]


@dataclass(frozen=True, slots=True)
class Judging:
    """How answers become labels and scores.

    Attributes:
        repair: whether labels are asked for that the completions lack.
        least_mass: of all words together, below which a probability is not believed.
    """

    repair: bool = True
    least_mass: float = 0.5
    calibration: Calibration = UNCALIBRATED


class DeclaredGuard(Guard, NamesCategories):
    """Asks each call of a description, then for the labels that are missing.

    Args:
        name: of the description.
        calls: its requests, in order.
        identity: the description and its options, which the answers depend on.
        templates: the chat template of the model, loaded where a prompt is first needed.
        judging: how answers become labels and scores.
        takes_context: whether exchanges come with earlier turns, which the template must take.
    """

    flags: Mapping[str, str] = FLAGS

    def __init__(
        self,
        name: str,
        calls: Sequence[PlannedCall],
        *,
        identity: str,
        templates: TemplateSource,
        judging: Judging,
        takes_context: bool = False,
    ) -> None:
        self._name = name
        self._calls = tuple(calls)
        self._identity = identity
        self._templates = templates
        self._repair = judging.repair
        self._scoring = Scoring(judging.calibration, judging.least_mass)
        self._questions = in_standard_order(tuple(questions_of(calls)))
        self._sample = replace(_SAMPLE, context=_EARLIER) if takes_context else _SAMPLE
        self._loaded: ChatTemplate | None = None

    @property
    @override
    def name(self) -> str:
        return self._name

    @property
    @override
    def questions(self) -> tuple[Question, ...]:
        return self._questions

    @property
    @override
    def categories(self) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for call in self._calls:
            found |= call.categories.names if call.categories is not None else {}
        return found

    @property
    @override
    def prompt_sha256(self) -> str:
        return self._prompt_sha256

    @cached_property
    def _prompt_sha256(self) -> str:
        prompts = [call.wording.prompt(self._sample, self._template) for call in self._calls]
        rendered = [
            [[run.name] if isinstance(run, Control) else run for run in prompt.runs]
            for prompt in prompts
        ]
        text = json.dumps([self._identity, rendered])
        return hashlib.sha256(text.encode()).hexdigest()

    @override
    def judge(self, exchange: Exchange) -> Asking:
        return self._requests(exchange, [])

    @override
    def spans(
        self, exchange: Exchange, completions: Sequence[Completion]
    ) -> tuple[tuple[CompletionSpan, ...], ...]:
        asked: _Asked = []
        asking = self._requests(exchange, asked)
        next(asking)
        with suppress(StopIteration):
            for completion in completions:
                asking.send(completion)
        asking.close()
        found = [
            spans_of(of, completion)
            if isinstance(of, PlannedCall)
            else _forced_spans(of, completion)
            for of, completion in asked
        ]
        return (*found, *((),) * (len(completions) - len(found)))

    def _template(self) -> ChatTemplate:
        if self._loaded is None:
            self._loaded = self._templates()
        return self._loaded

    def _prompt(self, call: PlannedCall, exchange: Exchange) -> Prompt:
        return LaterPrompt(lambda: self._rendered(call, exchange))

    def _rendered(self, call: PlannedCall, exchange: Exchange) -> Prompt:
        try:
            return call.wording.prompt(exchange, self._template)
        except WrongSetting:
            # a template that refuses each conversation is a wrong setting, not a wrong record
            call.wording.prompt(self._sample, self._template)
            raise InvalidRequest(
                "The chat template of the model refuses a conversation of this form."
            ) from None

    def _requests(self, exchange: Exchange, asked: _Asked) -> _Requests:
        has_response = exchange.response is not None
        answers: list[tuple[PlannedCall, Answer]] = []
        requests: list[EngineRequest] = []
        shortened = False
        for call in self._calls:
            if not call.applies(has_response=has_response):
                continue
            request, completion, is_cut = yield from self._asked(call, exchange)
            shortened |= is_cut
            asked.append((call, completion))
            requests.append(request)
            answer = read_answer(call, completion, self._scoring, has_response=has_response)
            answers.append((call, answer))
        # after all calls, so that stored completions begin with one for each of them
        if self._repair:
            for request, (call, answer) in zip(requests, answers, strict=True):
                yield from self._repaired(request, call, answer, asked, has_response=has_response)
        judgement = self._judgement(answers, has_response=has_response)
        if shortened and CONTEXT_TRUNCATED not in exchange.flags:
            return replace(judgement, flags=(CONTEXT_TRUNCATED, *judgement.flags))
        return judgement

    def _asked(
        self, call: PlannedCall, exchange: Exchange
    ) -> Generator[EngineRequest, Completion, tuple[EngineRequest, Completion, bool]]:
        """A request, its completion, and whether earlier turns were left out to make it fit."""
        fitting = exchange
        while True:
            request = EngineRequest(
                self._prompt(call, fitting),
                max_tokens=call.max_tokens,
                stop_tokens=tuple(call.source.stop_tokens),
                stop=tuple(call.source.stop),
                scores=call.places,
                stop_loops=call.source.reasoning is not None,
            )
            try:
                completion = yield request
            except PromptTooLong:
                # the prompt of a later call can be longer than the first one, which fits
                if not (fitting.context and call.source.conversation):
                    raise
                fitting = fitting.with_newest(len(fitting.context) // 2)
                continue
            return request, completion, fitting is not exchange

    def _repaired(
        self,
        request: EngineRequest,
        call: PlannedCall,
        answer: Answer,
        asked: _Asked,
        *,
        has_response: bool,
    ) -> Generator[EngineRequest, Completion, None]:
        """Force the labels that an answer lacks, each after those before it."""
        of, after, text = request, None, ""
        for read in call.reads:
            question = read.question
            if read.before is None or not question.applies(has_response=has_response):
                continue
            text += read.before
            if question.name in answer.readings:
                text += read.lead + answer.words[read.group]
                continue
            forced = EngineRequest(
                Continuation(of, text, after, tuple(call.source.control)),
                max_tokens=_MOST_FORCED_TOKENS,
                choices=read.choices,
                scores=(LabelPlace(read.choices),),
            )
            try:
                completion = yield forced
            except (InvalidRequest, PromptTooLong):
                return  # the context of the model is full
            asked.append((read, completion))
            word, reading, score = read_forced(read, completion, self._scoring)
            if score is not None:
                answer.scores.append(score)
            if reading.label is not None:
                answer.words[read.group] = word
                answer.readings[question.name] = reading
            answer.flags += (REPAIRED if reading.label else IMPROBABLE,)
            of, after, text = forced, completion, ""

    def _judgement(
        self, answers: Sequence[tuple[PlannedCall, Answer]], *, has_response: bool
    ) -> Judgement:
        readings = {name: reading for _, one in answers for name, reading in one.readings.items()}
        flags = dict.fromkeys(flag for _, one in answers for flag in one.flags)
        reasoning = tuple(section for _, one in answers for section in one.reasoning)
        return Judgement(
            status_of(self._questions, readings, has_response=has_response),
            readings,
            reasoning=reasoning,
            flags=tuple(flags),
            categories=tuple(found for _, one in answers for found in one.categories),
            severity=severity_of(answers),
            reasoned=bool(reasoning),
            scores=tuple(score for _, one in answers for score in one.scores),
        )


def _forced_spans(read: PlannedRead, completion: Completion) -> tuple[CompletionSpan, ...]:
    start = len(completion.text) - len(completion.text.lstrip())
    if completion.text.strip() not in read.labels:
        return ()
    return (CompletionSpan(start, len(completion.text.rstrip()), "label", read.question.name),)
