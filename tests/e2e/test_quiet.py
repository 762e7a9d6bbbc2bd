"""What torch and vLLM say of themselves while they load is no news to anybody."""

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

LOAD = """
import asyncio, logging
from worker.adapters.vllm.engine import VllmEngine
from worker.domain.errors import EngineUnavailable
logging.basicConfig(level=logging.INFO)
engine = VllmEngine(
    model="./nowhere", revision=None, tokenizer=None, max_tokens=1, max_num_seqs=1,
    max_model_len=None, gpu_memory_utilization=0.5, extra={},
)
try:
    asyncio.run(engine.start())
except EngineUnavailable as error:
    print(error)
"""


def test_an_engine_that_loads_says_only_what_is_wrong():
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", LOAD], capture_output=True, text=True, check=True, timeout=800
    )
    assert "vLLM could not load ./nowhere" in done.stdout
    assert "riton" not in done.stdout + done.stderr
