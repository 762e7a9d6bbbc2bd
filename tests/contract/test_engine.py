"""The simulated engine keeps an engine's promises; tests/e2e asks the same of vLLM."""

from tests.contract.engines import keeps_its_promises
from worker.runtime.build import build_judging
from worker.runtime.settings import load_settings


async def test_the_simulation_keeps_an_engines_promises():
    settings = load_settings(engine={"kind": "simulated", "max_num_seqs": 8}, health={"port": 0})
    judging = build_judging(settings)
    await judging.engine.start()
    try:
        await keeps_its_promises(judging.engine, settings)
    finally:
        await judging.engine.stop()
