"""The same labelled events give the same numbers through `evaluate` and through Kafka."""

import asyncio
import json

import orjson
import pytest

from tests.integration.harness import both_guarantees, produce, read
from training.exchanges import compose
from worker.cli import app, register
from worker.demo.samples import keyed
from worker.domain.questions import STANDARD_TASKS
from worker.runtime.worker import Worker

pytestmark = pytest.mark.integration

COUNT = 200
TOO_LONG = "word " * 20_000
SLICE = ["--slice", "metadata.kind"]


def labelled_lines():
    """Held-out exchanges, and one that becomes a dead letter."""
    lines = [
        {
            "id": f"e-{n}",
            "prompt": one.prompt,
            "response": one.response,
            "labels": {str(task): label for task, label in one.labels.items()},
            "metadata": {"kind": one.kind},
        }
        for n, one in enumerate(compose("held_out", COUNT, 5))
    ]
    lines.append(lines[0] | {"id": "long", "prompt": TOO_LONG})
    return [orjson.dumps(one) for one in lines]


@both_guarantees
async def test_the_same_numbers_through_evaluate_and_through_kafka(
    kafka_settings, connection, tmp_path, monkeypatch
):
    settings = await kafka_settings(partitions=3)
    events, verdicts = tmp_path / "events.jsonl", tmp_path / "verdicts.jsonl"
    lines = labelled_lines()
    events.write_bytes(b"\n".join(lines) + b"\n")
    topic = settings.input.topics[0]
    # labels and all: the worker leaves alone what it does not know
    await produce(connection, topic, [keyed(topic, one) for one in lines])
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    found = await read(connection, [settings.output.verdict_topic], COUNT)
    dead = await read(connection, [settings.output.dead_letter_topic], 1)
    worker.stop()
    await running
    assert b"long" in dead[0].value
    # what `tail --json` prints
    verdicts.write_bytes(b"".join(record.value + b"\n" for record in found))

    monkeypatch.setenv("GUARDSTREAM_ENGINE__KIND", "simulated")
    by_kafka = await evaluate(events, tmp_path / "kafka.json", "--from-completions", str(verdicts))
    by_engine = await evaluate(events, tmp_path / "engine.json", "--compare", str(verdicts))
    for name in ("tasks", "slices", "statuses", "flags"):
        assert by_kafka[name] == by_engine[name], name
    assert by_kafka["provenance"]["guard"] == by_engine["provenance"]["guard"]
    assert by_engine["statuses"] == {"complete": COUNT, "inconclusive": 0, "unjudged": 1}
    said = {row["id"]: row["predicted"] for row in by_engine["rows"]}
    assert said == {row["id"]: row["predicted"] for row in by_kafka["rows"]}
    assert by_engine["comparison"]["rows"] == COUNT
    assert not by_engine["comparison"]["disagreements"]
    # the simulated engine guesses: figures that are neither nought nor one
    assert all(0.1 < by_engine["tasks"][task]["f1"]["value"] < 0.9 for task in STANDARD_TASKS)


async def evaluate(events, result, *arguments):
    """The results of the command; one row is not judged, so it exits with 1."""
    register()
    given = ["evaluate", str(events), "--json", str(result), *SLICE, *arguments]
    with pytest.raises(SystemExit) as done:
        # the command has a loop of its own
        await asyncio.to_thread(app, given)
    assert done.value.code == 1
    return json.loads(result.read_text())
