"""The evaluation: each model of the run on the held-out and the adversarial rows.

Completions come from the worker's engine; answers before reasoning are read with torch.
"""

import time
from pathlib import Path
from typing import Any

import orjson

from training.config import Config
from training.first_answers import first_answer_figures, read_first_answers
from training.models import build_guard
from training.rows import data_path, read_events
from training.runs import Run
from training.sampling import Asked
from worker import __version__
from worker.domain.questions import STANDARD_QUESTIONS, STANDARD_TASKS
from worker.domain.verdicts import rfc3339
from worker.evaluation.analysis import evaluate as score
from worker.evaluation.answers import Answer
from worker.evaluation.keeping import write_whole
from worker.evaluation.labelled import Labelled
from worker.evaluation.other_run import compare, read_other
from worker.evaluation.results import Evaluation, Provenance, encode_evaluation
from worker.evaluation.stored import read_stored

MODELS = ("sft", "reasoning-only", "dpo", "ablation")
SETS = ("held_out", "adversarial")


def trained_models(run: Run) -> list[str]:
    """The models there are to evaluate; without a hard sample there is R-SFT's alone."""
    return [name for name in MODELS if run.model(name).is_dir()]


def final_model(run: Run) -> str:
    """The model that the recipe ends with."""
    return "dpo" if run.model("dpo").is_dir() else "sft"


def evaluation_path(run: Run, model: str, purpose: str) -> Path:
    """The results of one model on one set of rows."""
    return run.folder / "evaluations" / f"{model}-{purpose.replace('_', '-')}.json"


def run_evaluate(run: Run, config: Config, *, rehearsal: bool) -> dict[str, Any]:
    """Ask, score and compare with R-SFT's model; returns the summary."""
    run.require("dpo")
    if config.data.composed is not None and config.data.composed.calibrate:
        data_path(run, config, "calibrate")
    paths = {purpose: data_path(run, config, purpose) for purpose in SETS}
    sets = {purpose: read_events(path) for purpose, path in paths.items() if path is not None}
    facts: dict[str, Any] = {}
    for name in trained_models(run):
        asked = Asked(
            config,
            run.model(name),
            max_tokens=config.evaluate.max_tokens,
            rehearsal=rehearsal,
        )
        kept = {
            purpose: run.folder / "completions" / f"{name}-{purpose.replace('_', '-')}.jsonl"
            for purpose in sets
        }
        answers = asked.answers([(f"{name} {p}", rows.events, kept[p]) for p, rows in sets.items()])
        for (purpose, labelled), said in zip(sets.items(), answers, strict=True):
            evaluation = _score(run, config, asked, name, purpose, labelled, said)
            first = read_first_answers(
                config, run.model(name), labelled.events, config.sft.max_tokens
            )
            facts[f"{name}-{purpose}"] = {
                **summary(evaluation),
                **_misquoted(labelled, kept[purpose]),
                "answer_first": first_answer_figures(STANDARD_QUESTIONS, labelled.events, first),
            }
    return facts


def _score(
    run: Run,
    config: Config,
    asked: Asked,
    name: str,
    purpose: str,
    labelled: Labelled,
    answers: dict[str, Answer],
) -> Evaluation:
    evaluation = score(
        labelled,
        answers,
        provenance=Provenance(
            file=labelled.name,
            file_sha256=labelled.sha256,
            guard=asked.guard_reference,
            engine=asked.engine_reference,
            answers=None,
            made_at=rfc3339(time.time()),
            guardstream=__version__,
        ),
        # composed rows say what they are
        slices=["metadata.kind"] if config.data.composed else [],
        resamples=config.evaluate.resamples,
        seed=config.seed,
    )
    guard = build_guard(config)
    first = evaluation_path(run, "sft", purpose)
    if name != "sft":
        evaluation = compare(evaluation, read_other(first, labelled, guard))
    path = evaluation_path(run, name, purpose)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, encode_evaluation(evaluation))
    return evaluation


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """The figures that the card shows."""
    facts: dict[str, Any] = {
        "rows": len(evaluation.rows),
        "inconclusive": evaluation.statuses["inconclusive"],
        "unjudged": evaluation.statuses["unjudged"],
        "flags": evaluation.flags,
        "tasks": {str(task): _figures(evaluation, task) for task in STANDARD_TASKS},
        "slices": {
            part.value: {
                "rows": part.rows,
                "macro_f1": {str(task): part.tasks[task].macro_f1.value for task in STANDARD_TASKS},
            }
            for part in evaluation.slices
        },
    }
    if evaluation.comparison is not None:
        facts["against_sft"] = {
            str(task): {
                "difference": found.difference.value,
                "low": found.difference.low,
                "high": found.difference.high,
                "only_ours": found.only_ours,
                "only_theirs": found.only_theirs,
                "p": found.p,
            }
            for task, found in evaluation.comparison.tasks.items()
        }
    return facts


def _figures(evaluation: Evaluation, task: str) -> dict[str, Any]:
    found = evaluation.tasks[task]
    f1, macro = found.f1, found.macro_f1
    return {
        "labelled": found.labelled,
        "support": found.support,
        "unreadable": found.unreadable,
        "f1": f1.value,
        "f1_interval": [f1.low, f1.high],
        "macro_f1": macro.value,
        "macro_f1_interval": [macro.low, macro.high],
    }


def _misquoted(labelled: Labelled, kept: Path) -> dict[str, int]:
    """How many completions quote the request other than a perfect guard would.

    Only generated rows define what such a guard would write.
    """
    completions = read_stored(kept).completions
    pairs = [
        (str(perfect), completions[event.id].completion)
        for event in labelled.events
        if (perfect := orjson.loads(event.value).get("completion")) and event.id in completions
    ]
    if not pairs:
        return {}
    return {"misquoted": sum(_quoted(one) != _quoted(other) for one, other in pairs)}


def _quoted(completion: str) -> str:
    """What the first step quotes of the request."""
    return completion.partition('"')[2].partition('"')[0]
