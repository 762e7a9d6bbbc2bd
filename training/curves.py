"""The course of a training as pictures."""

from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from training.runs import Run
from worker.evaluation.keeping import write_whole

# the figures that get a panel, by name
_PANELS = {
    "loss": "loss",
    "mean_token_accuracy": "share of tokens right",
    "loss/preference": "weighted preference loss",
    "loss/sft": "loss on the chosen",
    "rewards/margins": "margin of the chosen (times beta)",
    "rewards/accuracies": "share of pairs in order",
    "learning_rate": "learning rate",
}
_SIZE = (4.2, 2.8)


def draw_curves(run: Run) -> list[Path]:
    """A PNG for each training with figures, in `curves/`."""
    mpl.use("Agg")
    names = ["sft", "reasoning-only", "dpo", "ablation", *sorted(_subsets(run))]
    return [draw_curve(run, name) for name in names if run.logged(name)]


def _subsets(run: Run) -> list[str]:
    return [folder.name for folder in (run.folder / "models").glob("subset-*")]


def draw_curve(run: Run, name: str) -> Path:
    """One training's picture, a panel for each figure."""
    logged = run.logged(name)
    shown = {key: title for key, title in _PANELS.items() if any(key in one for one in logged)}
    figure = Figure(figsize=(_SIZE[0] * len(shown), _SIZE[1]), layout="constrained")
    for axes, (key, title) in zip(
        figure.subplots(1, len(shown), squeeze=False)[0], shown.items(), strict=True
    ):
        points: list[tuple[Any, Any]] = [(one["at"], one[key]) for one in logged if key in one]
        axes.plot(*zip(*points, strict=True), linewidth=1)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("step", fontsize=9)
        axes.grid(visible=True, alpha=0.3)
    path = run.folder / "curves" / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=120)
    write_whole(path, drawn.getvalue())
    return path
