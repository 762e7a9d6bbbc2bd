"""`guardstream run`: the worker."""

import logging

from worker.cli import Config, app, read_settings, run_async


@app.command()
def run(config: Config = None) -> None:
    """Judge the input topic until stopped (SIGTERM drains, a second signal aborts)."""
    from worker.runtime.worker import Worker, run_until_signalled

    settings = read_settings(config)
    if settings.engine.kind == "simulated":
        logging.getLogger(__name__).warning(
            "The engine is simulated: its verdicts judge nothing and carry the flag `simulated`."
        )
    run_async(run_until_signalled(Worker(settings)))
