"""Guardstream itself: `python -m worker run` with the order as its settings, and a free engine."""

import os

from benchmarks.contenders.contract import read_order
from benchmarks.contenders.work import MAX_MODEL_LEN
from benchmarks.processes import WORKER, settings_variables


def main() -> None:
    """Become the worker."""
    order, _ = read_order()
    settings = {
        "KAFKA__BOOTSTRAP_SERVERS": order.bootstrap_servers,
        "INPUT__TOPICS": f'["{order.input}"]',
        "INPUT__GROUP_ID": order.group,
        "OUTPUT__VERDICT_TOPIC": order.output,
        "OUTPUT__DEAD_LETTER_TOPIC": order.dead,
        "DELIVERY__GUARANTEE": order.guarantee,
        "ENGINE__KIND": "simulated",
        "ENGINE__MAX_MODEL_LEN": str(MAX_MODEL_LEN),
        "ENGINE__SIMULATED__TIME_TO_FIRST_TOKEN_SECONDS": "0",
        "ENGINE__SIMULATED__TIME_PER_OUTPUT_TOKEN_SECONDS": "0",
        "HEALTH__PORT": "0",
        "LOG__LEVEL": "warning",
    }
    os.execve(WORKER[0], WORKER, os.environ | settings_variables(settings))  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
