"""Independent parts of the tests, each a pytest process with its own brokers, side by side.

`python -m tests.lanes` runs all of them, `python -m tests.lanes unit` those that are named so, or
whose names start with `unit-`. Each writes to `build/tests/`. Plain `pytest` runs the same tests in
one process.

A few tests that fail beside other lanes are run once more, one lane after another; those that then
pass are listed and do not fail the run. Lanes with faults are exempt: a failure there that comes
once in many runs is what they are for.
"""

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.class_archive import archive_classes
from worker.demo.kafka.distribution import BrokerError

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "build" / "tests"
COMPILED = ROOT / "build" / "compiled"
# the slowest of the unit layer, about half of its time
_LONG_UNIT = tuple(
    f"tests/unit/test_{name}.py" for name in ("linear_time", "fuzz", "interleavings")
)
_FAULTS = "tests/chaos/test_chaos.py"
_TRAINING = "tests/contract/test_training.py"
# By name the arguments of pytest; the longest first, except that broken units show early. Those
# with faults mostly wait, those with an engine mostly compute.
LANES: dict[str, tuple[str, ...]] = {
    "chaos-faults": (_FAULTS,),
    "e2e": ("tests/e2e",),
    "unit": ("tests/unit", *(f"--ignore={path}" for path in _LONG_UNIT)),
    "unit-long": _LONG_UNIT,
    "chaos": ("tests/chaos", f"--ignore={_FAULTS}"),
    "integration": ("tests/integration",),
    "training": (_TRAINING,),
    "contract": ("tests/contract", "tests/tools", "tests/chart", f"--ignore={_TRAINING}"),
}
_WITHOUT_BROKER = ("unit", "unit-long", "training")
AT_ONCE = 3
# a failure in these is never put down to the load
_NOT_AGAIN = ("chaos-faults", "chaos")
# more failures than these have one cause, which is not the load
_MOST_AGAIN = 5
INTERRUPTED = 130
# for brokers and engines to end
_GRACE_SECONDS = 60.0
_POLL_SECONDS = 0.1
_LAST_LINES = 60
_AGAIN = "-again"
_SKIPPED = re.compile(r"^SKIPPED \[(\d+)\] \S+?(?::\d+)?: (.*)$", re.MULTILINE)
_COUNTED = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed|warnings?)")
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
_FAILURES = re.compile(r"^=+ (?:FAILURES|ERRORS) =+$", re.MULTILINE)


@dataclass
class Lane:
    """One pytest process."""

    name: str
    arguments: Sequence[str]
    output: Path = OUTPUT
    code: int | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _began: float = 0.0

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.output / f"{self.name}.log"

    @property
    def _cache(self) -> Path:
        return self.output / "cache" / self.name.removesuffix(_AGAIN)

    @property
    def failed(self) -> bool:
        """Whether a test failed, or pytest itself."""
        return self.code != 0

    def start(self) -> None:
        """Start it in its own session, so that all it starts can be ended together."""
        self._began = time.monotonic()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", "pytest", "-o", f"cache_dir={self._cache}", *self.arguments],
                cwd=ROOT,
                env=environment(os.environ),
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def ended(self) -> bool:
        """Whether it has ended; what it left running in its session is ended with it."""
        assert self._process is not None
        if self.code is None:
            pid, status, used = os.wait4(self._process.pid, os.WNOHANG)
            if not pid:
                return False
            self.code = self._process.returncode = os.waitstatus_to_exitcode(status)
            self.seconds = time.monotonic() - self._began
            self.cpu_seconds = used.ru_utime + used.ru_stime
            self.send(signal.SIGKILL)
        return True

    def send(self, sent: signal.Signals) -> None:
        """Send a signal to pytest; SIGKILL to its whole session."""
        assert self._process is not None
        try:
            if sent is signal.SIGKILL:
                os.killpg(self._process.pid, sent)
            else:
                os.kill(self._process.pid, sent)
        except ProcessLookupError:
            pass

    def text(self) -> str:
        """Its output."""
        return self.log.read_text("utf-8", errors="replace")

    def summary(self) -> str:
        """One line: how it ended, and what it took."""
        counts = _COUNTED.findall(self.text().rstrip().rpartition("\n")[2])
        told = ", ".join(f"{count} {what}" for count, what in counts if "warning" not in what)
        how = "failed" if self.failed else "passed"
        took = f"{self.seconds:.0f} s, {self.cpu_seconds:.0f} s of CPU"
        return f"{self.name:14} {how}: {told or f'pytest ended with {self.code}'} ({took})"

    def failures(self) -> str:
        """The output of what failed; the end of the log where pytest itself did."""
        text = self.text()
        if found := _FAILURES.search(text):
            return text[found.start() :].rstrip()
        return "\n".join(text.splitlines()[-_LAST_LINES:])

    def again(self) -> "Lane | None":
        """What failed, as a lane of its own; None where failures are not due to the load."""
        tests = _FAILED.findall(self.text())
        if self.name in _NOT_AGAIN or not 0 < len(tests) <= _MOST_AGAIN:
            return None
        chosen = ["--last-failed", "--last-failed-no-failures=none", *self.arguments]
        return Lane(f"{self.name}{_AGAIN}", chosen, self.output)


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """This environment, with compiled modules kept in `build/` if it says to keep none.

    Images often say so, and each process of a test would compile all that it imports: half of the
    CPU of a small command, and most of an import of vLLM.
    """
    kept = dict(given)
    if kept.pop("PYTHONDONTWRITEBYTECODE", ""):
        kept.setdefault("PYTHONPYCACHEPREFIX", str(COMPILED))
    return kept


def chosen(names: Sequence[str]) -> list[Lane]:
    """The lanes of these names, or all of them.

    Raises:
        SystemExit: there is no such lane.
    """
    for name in names:
        if name not in LANES:
            sys.exit(f"tests: there is no lane {name}; there are {', '.join(LANES)}.")
    return [
        Lane(name, arguments)
        for name, arguments in LANES.items()
        if not names or any(name == one or name.startswith(f"{one}-") for one in names)
    ]


def prepare(lanes: Sequence[Lane]) -> None:
    """Make what lets brokers start faster; the lanes run without it too."""
    if "GUARDSTREAM_TEST_BOOTSTRAP_SERVERS" in os.environ:
        return
    if any(lane.name not in _WITHOUT_BROKER for lane in lanes):
        with contextlib.suppress(BrokerError, OSError):
            archive_classes()


def run(lanes: Sequence[Lane], at_once: int = AT_ONCE) -> int:
    """Run them, some at once, and print a line for each; the exit status of all."""
    running: list[Lane] = []
    try:
        _run(lanes, running, at_once)
        failed = [lane for lane in lanes if lane.failed]
        if retried := {lane.name: again for lane in failed if (again := lane.again())}:
            print("Running again, one after another, what failed beside other lanes:", flush=True)
            _run(list(retried.values()), running, 1)
            failed = [one for one in failed if one.name not in retried or retried[one.name].failed]
    except KeyboardInterrupt:
        end(running)
        print("tests: interrupted.", file=sys.stderr)
        return INTERRUPTED
    for reason, count in skips(lanes).items():
        print(f"skipped {count}: {reason}")
    for lane in lanes:
        if lane.failed and lane not in failed:
            names = ", ".join(_FAILED.findall(lane.text()))
            print(f"disturbed: {names}: failed beside other lanes, passed alone")
    if failed:
        print(
            f"tests: {', '.join(lane.name for lane in failed)} failed; output: {failed[0].output}/"
        )
        return 1
    return 0


def _run(lanes: Sequence[Lane], running: list[Lane], at_once: int) -> None:
    waiting = list(lanes)
    while waiting or running:
        while waiting and len(running) < at_once:
            lane = waiting.pop(0)
            lane.start()
            running.append(lane)
        time.sleep(_POLL_SECONDS)
        for lane in [one for one in running if one.ended()]:
            running.remove(lane)
            print(lane.summary(), flush=True)
            if lane.failed:
                print(lane.failures(), flush=True)


def end(running: Sequence[Lane]) -> None:
    """Interrupt what runs, and kill what does not end in time."""
    for lane in running:
        lane.send(signal.SIGINT)
    until = time.monotonic() + _GRACE_SECONDS
    try:
        while sum(lane.ended() for lane in running) < len(running) and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
    finally:
        for lane in running:
            if not lane.ended():
                lane.send(signal.SIGKILL)


def skips(lanes: Sequence[Lane]) -> Counter[str]:
    """By reason: how many tests were skipped, over all lanes."""
    found: Counter[str] = Counter()
    for lane in lanes:
        for count, reason in _SKIPPED.findall(lane.text()):
            found[reason] += int(count)
    return found


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Run the lanes that are named."""
    parser = argparse.ArgumentParser(prog="python -m tests.lanes", description=__doc__)
    parser.add_argument("lanes", nargs="*", help=f"some of {', '.join(LANES)}; all by default")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="how many run side by side")
    given = parser.parse_args()
    # also where a shell started this in the background
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    lanes = chosen(given.lanes)
    prepare(lanes)
    return run(lanes, given.at_once)


if __name__ == "__main__":
    sys.exit(main())
