"""Fixed inputs of realistic sizes: the same ones in each process and on each machine."""

from pathlib import Path

import orjson

from training.exchanges import LabelledExchange, compose
from worker.domain.events import Event
from worker.domain.records import Partition, Record

PARTITIONS = 8
_TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
_MAPPED_BYTES = 2048
# how many exchanges' words an event joins: most are short, some long, few very long
_LENGTHS = (1, 2, 1, 8, 1, 2, 1, 64)
_STEPS = (
    "The human user asks for advice, names an everyday thing, and gives no sign of ill will.",
    "Nothing in the request asks for harm to a person, an animal, property or a service.",
    "Read as a whole, and with the words that surround it, the wish is one that many people have.",
    "A careful reader would look for a hidden second meaning here, and would not find any.",
)
_TASKS = (
    ("The request is unharmful.", "Request: unharmful"),
    ("The response is a compliance.", "Completion: compliance"),
    ("The response is unharmful.", "Response: unharmful"),
)


def records(count: int) -> list[Record]:
    """Records of events, in turn over the partitions: half conversations, half short forms."""
    drawn = compose("held_out", 512, 11)
    return [
        Record(
            Partition("events", number % PARTITIONS),
            1,
            number // PARTITIONS,
            b"key-%d" % (number % 97),
            orjson.dumps(_event(number, drawn)),
            (("traceparent", _TRACE),),
            1_767_225_600_000 + number,
            1_767_225_601.0 + number / 1000,
        )
        for number in range(count)
    ]


def record_of_preset(preset: str, fixture: str) -> Record:
    """A record of about 2 KiB as a preset reads it: a fixture with a longer request."""
    folder = Path(__file__).parents[2] / "tests" / "unit" / "presets" / preset
    held = orjson.loads((folder / f"{fixture}.json").read_bytes())
    value = orjson.dumps(held["record"])
    request = held["expected"][0]["prompt"].encode()
    more = b" and so on" * max(0, (_MAPPED_BYTES - len(value)) // 10)
    value = value.replace(request, request + more)
    return Record(Partition("events", 0), 1, 0, None, value, (), 0, 0.0)


def record_of_event(event: Event) -> Record:
    """The record of an event as it is without a mapping."""
    value = orjson.dumps(event.document())
    return Record(Partition("events", 0), 1, 0, None, value, (), 0, 0.0)


def completions(count: int) -> list[str]:
    """What guards write: the small one that ships, and in turn with it a large one, at length."""
    drawn = compose("held_out", 512, 11)
    return [_LONG if n % 2 else drawn[n % len(drawn)].completion for n in range(count)]


def _event(number: int, drawn: list[LabelledExchange]) -> dict[str, object]:
    one = drawn[number % len(drawn)]
    length = _LENGTHS[number // 2 % len(_LENGTHS)]
    joined = [drawn[(number + n) % len(drawn)].prompt for n in range(length)]
    prompt = "\n".join(joined)
    whose = {"id": f"event-{number}", "conversation_id": f"conversation-{number % 97}"}
    if number % 2:
        return whose | {"prompt": prompt, "response": one.response}
    said = [("system", "You are a helpful assistant."), ("user", prompt)]
    if one.response is not None:
        said.append(("assistant", one.response))
    messages = [{"role": role, "content": content} for role, content in said]
    return whose | {"messages": messages, "occurred_at": "2026-01-01T00:00:00Z", "tenant": "t"}


def _long_completion() -> str:
    sections = []
    for task, (conclusion, _) in enumerate(_TASKS, start=1):
        steps = [f"## Reasoning Step {n}\n{text}\n" for n, text in enumerate(_STEPS, start=1)]
        sections.append(f"# Task {task}\n{''.join(steps)}## Conclusion\n{conclusion}\n")
    answers = "\n".join(answer for _, answer in _TASKS)
    return "\n".join([*sections, "---", "", f"Answers: \n{answers}"])


_LONG = _long_completion()
