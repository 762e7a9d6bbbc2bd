import gc

from worker.runtime.build import build_judging
from worker.runtime.settings import load_settings


async def test_what_is_loaded_is_kept_from_the_garbage_collector():
    judging = build_judging(load_settings(engine={"kind": "simulated"}))
    gc.unfreeze()
    await judging.start()
    try:
        assert gc.get_freeze_count() > len(gc.get_objects())
    finally:
        gc.unfreeze()
        await judging.stop()
