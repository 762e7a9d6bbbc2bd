"""Measures part after part, the most wanted first; a part without enough time left is left out."""

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.gpu import plan as plans
from benchmarks.gpu.plan import Plan
from benchmarks.gpu.process import Side, SideError
from benchmarks.gpu.record import Budget, FiguresFile, place

_LOAD = 0.8
# a part's estimate, in rounds, times this must be left
_CAUTION = 1.3


@dataclass
class Run:
    """A measurement that is under way.

    Attributes:
        rates: verdicts per second of the worker, by mode, once they are known.
        load_seconds: that the last start of an engine took.
    """

    plan: Plan
    budget: Budget
    figures: FiguresFile
    folder: Path
    sides: dict[str, Side] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    load_seconds: float = 0.0
    seed: int = 0

    def ask(self, side: str, **request: Any) -> dict[str, Any]:
        """Send a request with the next seed; both sides get it if `seed` is given."""
        if "seed" not in request:
            request["seed"] = self.next_seed()
        return self.sides[side].ask(self.budget.left, **request)

    def next_seed(self) -> int:
        """A seed that no request had before."""
        self.seed += 1
        return self.seed

    def has_time(self, part: str, seconds: float) -> bool:
        """Whether this many seconds are left; otherwise a line says that the part is left out."""
        if self.budget.left >= seconds:
            return True
        self.figures.write(
            part, skipped=f"{seconds:.0f} s are needed, {self.budget.left:.0f} s are left"
        )
        return False


def measure(out: Path, seconds: float, cargo: Path, *, rehearse: bool) -> None:
    """Measure into `out`.

    Raises:
        SystemExit: there is no GPU, and this is no rehearsal.
    """
    budget = Budget(seconds)
    figures = FiguresFile(out, budget)
    here = place()
    if here["card"] is None and not rehearse:
        raise SystemExit("gpu: nvidia-smi shows no GPU here; --rehearse runs the steps on a CPU.")
    with tempfile.TemporaryDirectory(prefix="guardstream-gpu-") as folder:
        make = plans.rehearsal if rehearse else plans.full
        plan = make(Path(folder), cargo / "tokenizer")
        figures.write(
            "machine", model=plan.model, completion=plan.completion, rehearsal=rehearse, **here
        )
        run = Run(plan, budget, figures, out)
        if _measure_sides(run):
            _measure_speculation(run)
    figures.write("end")


def _measure_sides(run: Run) -> bool:
    """All that needs both sides; False if an engine was lost, and there is no use in another."""
    with ExitStack() as stack:
        try:
            # one after the other: two that load at once would compete for cores and memory
            for name in ("engine", "worker"):
                side = stack.enter_context(_start(run, name, run.plan.given))
                run.sides[name] = side
        except SideError as error:
            run.figures.write("start", failed=str(error))
            return False
        for name, part in _PARTS.items():
            try:
                part(run)
            except SideError as error:
                run.figures.write(name, failed=str(error))
                return False
    return True


def _start(run: Run, name: str, given: dict[str, Any]) -> Side:
    before = run.budget.left
    side = Side(name, given, run.folder / f"{name}.log")
    try:
        side.ready(run.budget.left)
    except SideError as error:
        side.__exit__(SideError, error, None)
        raise
    run.load_seconds = before - run.budget.left
    run.figures.write("start", side=name, seconds=round(run.load_seconds, 1))
    return side


def _compare(run: Run, part: str, mode: str) -> None:
    """Rounds of both sides in turn on the same exchanges; a line for each."""
    if not run.has_time(part, run.plan.round_seconds):
        return
    warm = {"count": run.plan.warm_up, "mode": mode}
    seed = run.next_seed()
    rates = {
        side: run.ask(side, do="backlog", seed=seed, **warm)["events_per_second"]
        for side in ("engine", "worker")
    }
    count = run.plan.sized(rates["worker"])
    for number in range(1, run.plan.rounds + 1):
        seconds = _CAUTION * sum(count / rate for rate in rates.values())
        if not run.has_time(part, seconds):
            return
        seed = run.next_seed()
        # alternate, since the first one finds another machine than the last
        for side in ("engine", "worker") if number % 2 else ("worker", "engine"):
            found = run.ask(side, do="backlog", mode=mode, count=count, seed=seed)
            rates[side] = found["events_per_second"]
            run.figures.write(part, side=side, round=number, count=count, **found)
        run.rates[mode] = rates["worker"]


def _measure_speed(run: Run) -> None:
    """Tokens per second of the engine alone, only reading and only writing."""
    tokens = run.plan.prompt
    if not run.has_time("speed", 2 * run.plan.round_seconds):
        return
    run.ask("engine", do="prefill", count=run.plan.warm_up // 4, tokens=tokens)
    found = run.ask("engine", do="prefill", count=run.plan.warm_up, tokens=tokens)
    run.figures.write("prefill", prompt_tokens=tokens, count=run.plan.warm_up, **found)
    _decode(run, "decode", (*run.plan.sequences[-1:], *run.plan.sequences[:-1]))


def _decode(run: Run, part: str, sequences: tuple[int, ...]) -> None:
    # the first one compiles kernels: 12 s on a CPU with speculation
    run.ask("engine", do="decode", sequences=1, tokens=8, temperature=1.0)
    for count in sequences:
        # drawn tokens, then greedy ones, which repeat each other
        for temperature in (1.0, 0.0):
            if not run.has_time(part, run.plan.round_seconds):
                return
            found = run.ask(
                "engine",
                do="decode",
                sequences=count,
                tokens=run.plan.completion,
                temperature=temperature,
            )
            run.figures.write(part, sequences=count, temperature=temperature, **found)


def _measure_load(run: Run, part: str, mode: str) -> None:
    """How old events are at their verdict, at 80 % of the rate that the worker has at most."""
    if mode not in run.rates:
        run.figures.write(part, skipped=f"the rate of the mode {mode} is not known")
        return
    if not run.has_time(part, 1.5 * run.plan.load_seconds):
        return
    rate = _LOAD * run.rates[mode]
    count = max(50, int(rate * run.plan.load_seconds))
    found = run.ask("worker", do="stream", mode=mode, count=count, rate=rate)
    run.figures.write(part, mode=mode, **found)


def _measure_cascade(run: Run) -> None:
    """Each exchange is scored, then reasoned about: what the second request finds in the cache."""
    if "always" not in run.rates:
        run.figures.write("cascade", skipped="the rate of the mode always is not known")
        return
    count = run.plan.sized(run.rates["always"])
    if run.has_time("cascade", 2 * _CAUTION * count / run.rates["always"]):
        found = run.ask("worker", do="backlog", mode="unsure", count=count)
        run.figures.write("cascade", side="worker", count=count, **found)


def _measure_speculation(run: Run) -> None:
    """The same decoding with n-gram speculation, on an engine of its own."""
    if not run.has_time("speculation", _CAUTION * run.load_seconds + 2 * run.plan.round_seconds):
        return
    given = run.plan.given
    extra = given["engine"]["extra"] | {"speculative_config": run.plan.speculation}
    try:
        with _start(run, "engine", given | {"engine": given["engine"] | {"extra": extra}}) as side:
            run.sides = {"engine": side}
            _decode(run, "speculation", run.plan.sequences)
    except SideError as error:
        run.figures.write("speculation", failed=str(error))


# the most wanted first
_PARTS = {
    "reasoning": lambda run: _compare(run, "reasoning", "always"),
    "scores": lambda run: _compare(run, "scores", "never"),
    "speed": _measure_speed,
    "load": lambda run: _measure_load(run, "load", "always"),
    "cascade": _measure_cascade,
    "load_scores": lambda run: _measure_load(run, "load_scores", "never"),
}
