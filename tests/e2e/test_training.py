"""docs/training.md as it is written: its commands, from a verdict topic back into the worker."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import orjson
import pytest
import yaml

from tests.integration.harness import event, produce, read, start_process
from tests.tools.training.verdicts import labelled, verdict
from training.exchanges import compose
from training.runs import STEPS
from worker.domain.questions import PROMPT_HARMFULNESS
from worker.domain.records import OutgoingRecord
from worker.domain.verdicts import encode_verdict

pytestmark = [pytest.mark.e2e, pytest.mark.integration, pytest.mark.timeout(2400)]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/training.md").read_text(encoding="utf-8")
COUNT, WRONG = 40, 5
TRAINING = {"batch": 8, "device_batch": 8, "epochs": 1, "max_tokens": 1024, "precision": "float32"}
CONFIG = {
    "name": "mine",
    "seed": 3,
    "threads": 2,
    "model": {"path": "demonstration"},
    "data": {"train": "data/train.jsonl", "held_out": "data/held-out.jsonl"},
    "sft": TRAINING | {"learning_rate": 1e-4},
    # hot enough that some of so few items are hard
    "mine": {"temperature": 1.5, "max_tokens": 400},
    "dpo": TRAINING | {"learning_rate": 1e-4, "ablation": False},
    "evaluate": {"max_tokens": 400, "resamples": 100},
}
PROGRAMS = f"""set -euo pipefail
guardstream() {{ {sys.executable} -m worker "$@"; }}
python() {{ {sys.executable} "$@"; }}
"""


def commands():
    """The page's commands, in its order, a line each."""
    joined = PAGE.replace("\\\n", " ")
    return re.findall(
        r"^    ((?:GUARDSTREAM_\w+=\S+ )?(?:guardstream|python) .*)", joined, re.MULTILINE
    )


async def test_the_commands_of_the_page_lead_back_into_the_worker(
    kafka_settings, connection, tmp_path, monkeypatch
):
    settings = await kafka_settings()
    topic, verdicts = settings.input.topics[0], settings.output.verdict_topic
    numbered = list(enumerate(compose("train", COUNT, 8)))
    values = [encode_verdict(verdict(n, example)) for n, example in numbered]
    await produce(connection, verdicts, [OutgoingRecord(verdicts, b"", one, ()) for one in values])
    lines = [
        labelled(n, example, opposite(example) if n < WRONG else None) for n, example in numbered
    ]
    (tmp_path / "labels.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    (tmp_path / "guard.yaml").write_text(yaml.safe_dump(CONFIG))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    # a rehearsal has a test of its own, and a worker does not end
    *found, last = [one for one in commands() if "--dry-run" not in one]
    assert len(found) == 6
    assert last.endswith("guardstream run")
    script = PROGRAMS + "\n".join(found).replace("--count 5000", f"--count {COUNT}")
    told = await run_script(
        script,
        GUARDSTREAM_KAFKA__BOOTSTRAP_SERVERS=settings.kafka.bootstrap_servers,
        GUARDSTREAM_OUTPUT__VERDICT_TOPIC=verdicts,
        GUARDSTREAM_ENGINE__MAX_TOKENS="400",
    )
    assert f"To learn from: {COUNT - WRONG}. Mined only: {WRONG} of which" in told
    state = orjson.loads((tmp_path / "runs/guard/state.json").read_bytes())
    assert list(state) == list(STEPS)
    assert state["mine"]["hard"] > 0
    assert state["dpo"]["dpo"]["steps"] > 0
    assert {"sft-held_out", "dpo-held_out"} <= state["evaluate"].keys()
    card = (tmp_path / "guards/mine/README.md").read_text()
    assert "trained on from demonstration" in card

    model = last.split()[0].partition("=")[2]
    # as an operator starts it, with all of vLLM's processes
    monkeypatch.delenv("VLLM_ENABLE_V1_MULTIPROCESSING")
    running = await start_process(
        settings, ENGINE__KIND="vllm", ENGINE__MODEL=model, ENGINE__MAX_TOKENS="400"
    )
    await produce(connection, topic, [event(topic, str(COUNT + n)) for n in range(4)])
    spoken = [orjson.loads(one.value) for one in await read(connection, [verdicts], COUNT + 4, 900)]
    running.send_signal(signal.SIGTERM)
    await running.communicate()
    assert running.returncode == 0
    ours = [one for one in spoken if int(one["event_id"]) >= COUNT]
    assert len(ours) == 4
    for one in ours:
        assert one["guard"]["model"] == model
        assert one["status"] == "complete"


def opposite(example):
    other = {"harmful": "unharmful", "unharmful": "harmful"}
    return example.labels | {PROMPT_HARMFULNESS.name: other[example.labels["prompt_harmfulness"]]}


async def run_script(script, **environment):
    """What the commands printed; none of them failed."""
    running = await asyncio.create_subprocess_exec(
        *("bash", "-c", script),
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told = (await running.communicate())[0].decode()
    assert running.returncode == 0, told[-3000:]
    return told
