"""What R-SFT and HS-DPO share: the trainer's arguments, checkpoints to be trusted, figures."""

import math
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.config import Config, Training
from training.runs import Run

_WHOLE = "whole"


def set_threads(config: Config) -> None:
    """Set torch's number of threads from the configuration."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)


def trainer_arguments(run: Run, config: Config, chosen: Training, name: str) -> dict[str, Any]:
    """The arguments of a trainer.

    The batch is made of device batches, over as many processes as `accelerate launch` started.
    """
    return {
        "output_dir": str(run.checkpoints(name)),
        "num_train_epochs": chosen.epochs,
        "learning_rate": chosen.learning_rate,
        "lr_scheduler_type": "cosine",
        "bf16": chosen.precision == "bfloat16",
        "use_cpu": not torch.cuda.is_available(),
        "gradient_checkpointing": chosen.gradient_checkpointing,
        "logging_steps": max(1, chosen.checkpoint_steps // 20),
        "save_strategy": "steps",
        "save_steps": chosen.checkpoint_steps,
        # a new checkpoint is complete before the previous one is removed
        "save_total_limit": 2,
        "report_to": "none",
        "seed": config.seed,
        "data_seed": config.seed,
        "disable_tqdm": False,
    }


def accumulate(arguments: TrainingArguments, chosen: Training, rows: int, more: int = 0) -> None:
    """Reach the batch by accumulation over all processes; warm up for its share of the steps.

    Args:
        arguments: of the trainer; changed.
        chosen: its `batch` is the number of `rows` in a step.
        rows: of the training.
        more: rows that come on top of the batch, spread evenly over the steps.
    """
    of_one = max(1, min(chosen.device_batch, chosen.batch // arguments.world_size))
    arguments.per_device_train_batch_size = of_one
    at_once = of_one * arguments.world_size
    per_step = chosen.batch * (rows + more) / rows
    # of rows alone, a batch is never exceeded
    times = round(per_step / at_once) if more else chosen.batch // at_once
    arguments.gradient_accumulation_steps = max(1, times)
    steps = math.ceil((rows + more) / (at_once * arguments.gradient_accumulation_steps))
    arguments.warmup_steps = round(chosen.warmup_share * steps * chosen.epochs)


class Keeping(TrainerCallback):
    """Marks complete checkpoints, and stores the figures of the training.

    Figures logged before an interrupt are not logged twice.
    """

    def __init__(self, run: Run, name: str) -> None:
        self._run = run
        self._name = name
        self._began = time.monotonic()

    def on_save(  # type: ignore[override]
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002 - the library's
        **_: Any,
    ) -> None:
        """See `TrainerCallback`: called when all of a checkpoint is written."""
        args.distributed_state.wait_for_everyone()
        if state.is_world_process_zero:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / _WHOLE).touch()

    def on_log(  # type: ignore[override]
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """See `TrainerCallback`."""
        if state.is_world_process_zero and logs and "loss" in logs:
            seconds = round(time.monotonic() - self._began, 1)
            figures = {name: round(float(figure), 6) for name, figure in logs.items()}
            self._run.log(self._name, {"at": state.global_step, "seconds": seconds, **figures})


def last_checkpoint(run: Run, name: str) -> str | None:
    """The newest complete checkpoint, if there is one; incomplete ones are removed."""
    found = {}
    for folder in run.checkpoints(name).glob("checkpoint-*"):
        if (folder / _WHOLE).is_file():
            found[int(folder.name.rpartition("-")[2])] = folder
        else:
            # another process may be at it too
            shutil.rmtree(folder, ignore_errors=True)
    return str(found[max(found)]) if found else None
