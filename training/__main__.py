"""`python -m training STEP`: the recipe's steps, each into the run's folder."""

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from training.config import Config, read_config, rehearsed
from training.runs import STEPS, Run, disk_trouble, is_first_process
from worker.domain.errors import GuardstreamError, WrongSetting

app = typer.Typer(
    name="training",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Trains a guard: R-SFT, hard-sample mining, HS-DPO, evaluation, model card.",
)

ConfigFile = Annotated[Path, typer.Option("--config", help="YAML; see training/configs.")]
Folder = Annotated[
    Path, typer.Option("--run", help="The run's folder; made where it is not there.")
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="The same code with a random model of some million parameters, composed rows, few"
        " steps, and an engine that draws random labels.",
    ),
]
Step = Callable[[Run, Config, bool], dict[str, Any]]

_INTERRUPTED = 130


def _sft(run: Run, config: Config, _: bool) -> dict[str, Any]:  # noqa: FBT001
    from training.sft import run_sft  # noqa: PLC0415 - a step imports what it alone needs

    return run_sft(run, config)


def _mine(run: Run, config: Config, rehearsal: bool) -> dict[str, Any]:  # noqa: FBT001
    from training.pairs import run_mine  # noqa: PLC0415

    return run_mine(run, config, rehearsal=rehearsal)


def _dpo(run: Run, config: Config, _: bool) -> dict[str, Any]:  # noqa: FBT001
    from training.dpo import run_dpo  # noqa: PLC0415

    return run_dpo(run, config)


def _evaluate(run: Run, config: Config, rehearsal: bool) -> dict[str, Any]:  # noqa: FBT001
    from training.evaluating import run_evaluate  # noqa: PLC0415

    return run_evaluate(run, config, rehearsal=rehearsal)


def _card(run: Run, config: Config, rehearsal: bool) -> dict[str, Any]:  # noqa: FBT001
    from training.card import run_card  # noqa: PLC0415

    return run_card(run, config, rehearsal=rehearsal)


_STEPS: dict[str, Step] = dict(zip(STEPS, (_sft, _mine, _dpo, _evaluate, _card), strict=True))


def _run_step(step: str, config: Path, folder: Path, *, dry_run: bool) -> None:
    chosen = rehearsed(read_config(config)) if dry_run else read_config(config)
    run = Run.open(folder, chosen)
    # `accelerate launch` starts several processes, one of which speaks and writes for all
    with run.held() if is_first_process() else nullcontext():
        if run.is_done(step):
            _tell(f"{step} is done already in {folder}.")
            return
        _tell(f"{step} of {chosen.name} in {folder} …")
        try:
            facts = _STEPS[step](run, chosen, dry_run)
        except KeyboardInterrupt:
            _tell("Interrupted; the same command resumes.")
            raise typer.Exit(_INTERRUPTED) from None
        if is_first_process():
            run.finish(step, **facts)
    _tell(f"{step} is done.")


def _tell(sentence: str) -> None:
    if is_first_process():
        typer.echo(f"training: {sentence}", err=True)


@app.command()
def sft(config: ConfigFile, run: Folder, dry_run: DryRun = False) -> None:
    """R-SFT: fine-tune on the rows that have a completion."""
    _run_step("sft", config, run, dry_run=dry_run)


@app.command()
def mine(config: ConfigFile, run: Folder, dry_run: DryRun = False) -> None:
    """Sample completions, and pair a right with a wrong one of each hard item."""
    _run_step("mine", config, run, dry_run=dry_run)


@app.command()
def dpo(config: ConfigFile, run: Folder, dry_run: DryRun = False) -> None:
    """HS-DPO on the mined pairs, and the ablation without mining."""
    _run_step("dpo", config, run, dry_run=dry_run)


@app.command()
def evaluate(config: ConfigFile, run: Folder, dry_run: DryRun = False) -> None:
    """Score each model on held-out and adversarial rows."""
    _run_step("evaluate", config, run, dry_run=dry_run)


@app.command()
def card(config: ConfigFile, run: Folder, dry_run: DryRun = False) -> None:
    """Write curves, metrics.json and the model card from what was measured."""
    _run_step("card", config, run, dry_run=dry_run)


@app.command(name="all")
def run_all(config: ConfigFile, run: Folder, dry_run: DryRun = False) -> None:
    """Run all steps that are not done, each in its own process."""
    options = ["--config", str(config), "--run", str(run), *(["--dry-run"] if dry_run else [])]
    for step in STEPS:
        # the engine wants the memory that a training held
        code = _run_process([sys.executable, "-m", "training", step, *options])
        if code:
            # the shell's exit status of a process that a signal ended
            raise typer.Exit(code if code > 0 else 128 - code)


def _run_process(command: list[str]) -> int:
    """Run a step to its end; the step itself handles an interrupt."""
    with subprocess.Popen(command, start_new_session=True) as running:  # noqa: S603
        while True:
            try:
                return running.wait()
            except KeyboardInterrupt:
                running.terminate()


@app.command()
def rows(
    verdicts: Annotated[Path, typer.Option(help="As `guardstream tail --json` prints them.")],
    labels: Annotated[Path, typer.Option(help="Events with labels, as `evaluate` reads them.")],
    train: Annotated[Path, typer.Option(help="Where the rows to train on go.")],
    held_out: Annotated[Path, typer.Option(help="Where the rows to evaluate on go.")],
    share: Annotated[float, typer.Option(min=0.01, max=0.9, help="Of the rows held out.")] = 0.2,
) -> None:
    """Rows out of a verdict topic and human labels."""
    from training.labels import write_rows  # noqa: PLC0415

    made = write_rows(verdicts, labels, train, held_out, share)
    typer.echo(
        f"To learn from: {made.agreed}. Mined only: {made.disagreed} of which the verdict says"
        f" something else, {made.unreasoned} without reasoning, {made.unjudged} without a verdict."
    )


@app.command()
def ship(
    run: Annotated[Path, typer.Argument(help="A finished run's folder.")],
    folder: Annotated[
        Path, typer.Argument(help="Where the guard goes; what is there is replaced.")
    ],
) -> None:
    """Copy the guard that a run ended with, its card and its figures."""
    from training.card import ship_guard  # noqa: PLC0415

    ship_guard(Run(run), folder)
    typer.echo(f"training: {folder} holds the guard of {run}.", err=True)


def main() -> None:
    """Run a step: exit 0 done, 1 failed, 2 usage, 130 interrupted (SIGINT, SIGTERM)."""
    try:
        app()
    except WrongSetting as error:
        _say(str(error), 2)
    except GuardstreamError as error:
        _say(str(error), 1)
    except Exception as error:
        if (trouble := disk_trouble(error)) is None:
            raise
        _say(trouble, 1)


def _say(sentence: str, code: int) -> None:
    typer.echo(f"training: {sentence}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    # a shell starts what it leaves in the background with SIGINT ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    main()
