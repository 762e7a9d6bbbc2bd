"""`python -m tests.chaos`: faults by hand, for as long as you like."""

import argparse
import asyncio
import logging
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

import orjson

from tests.chaos.cluster import Cluster
from tests.chaos.pending import PENDING
from tests.chaos.run import ALL_KINDS, DEFAULT_KINDS, Plan, execute

_GUARANTEES = ("exactly_once", "at_least_once")


def main() -> int:
    """Run, print, and say by the exit code whether every promise was kept."""
    arguments = _arguments()
    # a client that tries again is no news here; what fails in the end is in the report
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    seed = secrets.randbelow(1_000_000) if arguments.seed is None else arguments.seed
    reports = []
    logs = arguments.logs or Path(tempfile.mkdtemp(prefix="guardstream-chaos-"))
    with Cluster() as cluster:
        ends_at = time.monotonic() + arguments.seconds
        while (left := ends_at - time.monotonic()) > 0:
            guarantee = arguments.guarantee or _GUARANTEES[len(reports) % 2]
            seconds = min(left, arguments.round_seconds)
            plan = Plan(
                guarantee,
                seed + len(reports),
                seconds,
                arguments.rate,
                arguments.every_seconds,
                arguments.kinds,
                every=arguments.every_exchange or None,
            )
            print(f"{guarantee}, seed {plan.seed}: {seconds:.0f} s of faults", flush=True)
            folder = logs / f"{guarantee}-{plan.seed}"
            folder.mkdir(parents=True, exist_ok=True)
            reports.append(asyncio.run(execute(plan, cluster, folder)))
            print(reports[-1], flush=True)
            if arguments.json:
                told = [report.to_json() for report in reports]
                arguments.json.write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))
    passed = all(report.passed for report in reports)
    faults = sum(len(report.faults) for report in reports)
    print(f"{len(reports)} rounds, {faults} faults: {'every promise kept' if passed else 'FAILED'}")
    if passed and not arguments.logs:
        shutil.rmtree(logs, ignore_errors=True)
    else:
        print(f"The logs of the workers, and of the brokers where a round failed, are in {logs}")
    return 0 if passed else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="of faults, in all")
    parser.add_argument("--seed", type=int, help="of the first round; each has the next one")
    parser.add_argument("--guarantee", choices=_GUARANTEES, help="both in turn, if not given")
    parser.add_argument("--round-seconds", type=float, default=300.0, help="of a round, at most")
    parser.add_argument("--rate", type=float, default=100.0, help="records per second")
    parser.add_argument("--every-seconds", type=float, default=3.0, help="between two faults")
    parser.add_argument(
        "--kinds",
        type=_kinds,
        default=DEFAULT_KINDS,
        help=f"of faults and records, comma separated: {', '.join(ALL_KINDS)}; by default all but"
        f" those that the worker cannot stand yet ({', '.join(PENDING) or 'none'})",
    )
    parser.add_argument(
        "--every-exchange",
        action="store_true",
        help="judge every exchange of each conversation in all rounds, instead of in half of them",
    )
    parser.add_argument("--json", type=Path, help="a file for the reports")
    parser.add_argument("--logs", type=Path, help="a folder for all logs, which is kept")
    return parser.parse_args()


def _kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(kind.strip() for kind in text.split(",") if kind.strip())
    unknown = [kind for kind in kinds if kind not in ALL_KINDS]
    if unknown or not kinds:
        raise argparse.ArgumentTypeError(
            f"unknown: {', '.join(unknown)}; the kinds are {', '.join(ALL_KINDS)}"
        )
    return kinds


if __name__ == "__main__":
    sys.exit(main())
