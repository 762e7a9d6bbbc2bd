"""How often an event without a response gets the same label when only its request is asked for.

No engine is needed: a completion is cut where the gate would have stopped it. What the gate lets
continue gets the label that it has anyway.
"""

from collections.abc import Iterable, Mapping

from worker.domain.engines import Completion, Usage, up_to_stop
from worker.domain.events import Exchange
from worker.domain.guard import Guard
from worker.domain.judgements import Judgement
from worker.evaluation.answers import Answer
from worker.evaluation.labelled import LabelledEvent
from worker.evaluation.scored import Stages, split_judgement
from worker.runtime.calibration_document import Gating


def measure_gating(
    guards: Stages, events: Iterable[LabelledEvent], answers: Mapping[str, Answer]
) -> Gating | None:
    """The agreement over the events without a response; None where there are none, or no gate."""
    compared = agreed = 0
    for event in events:
        if event.exchange.response is not None:
            continue
        after, ungated = split_judgement(guards, event, answers[event.id])
        if not after or ungated is None:
            continue
        text = "".join(one.text + (one.stopped_by or "") for one in after)
        gated = gated_judgement(guards.gated, event.exchange, text)
        compared += 1
        agreed += gated is None or _labels(gated) == _labels(ungated)
    return Gating(agreed / compared, compared) if compared and has_gate(guards.gated) else None


def has_gate(guard: Guard) -> bool:
    """Whether a guard stops early where there is no response."""
    return bool(next(guard.judge(Exchange("request", None))).stop)


def gated_judgement(guard: Guard, exchange: Exchange, text: str) -> Judgement | None:
    """The judgement at the gate; None where the guard asks for more than the gate lets through."""
    asking = guard.judge(exchange)
    before, stop = up_to_stop(text, next(asking).stop)
    if stop is None:
        return None
    try:
        asking.send(Completion(before, "stop", Usage(0, 0, 0), stopped_by=stop))
    except StopIteration as end:
        judgement: Judgement = end.value
        return judgement
    return None


def _labels(judgement: Judgement) -> dict[str, str | None]:
    return {name: reading.label for name, reading in judgement.readings.items()}
