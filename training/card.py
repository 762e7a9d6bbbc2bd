"""The model card and its figures, written from what the run measured, whichever way it went."""

import platform
import shutil
from importlib.metadata import version
from pathlib import Path
from textwrap import fill
from typing import Any

import orjson

from training.config import Config
from training.evaluating import MODELS, final_model
from training.first_answers_table import first_answers_section
from training.models import build_guard
from training.runs import Run, write_folder
from worker.domain.errors import UnusableFile
from worker.domain.questions import STANDARD_TASKS
from worker.evaluation.keeping import write_whole

_NAMES = {
    "sft": "R-SFT",
    "reasoning-only": "R-SFT on reasoning alone",
    "dpo": "HS-DPO",
    "ablation": "DPO without mining",
}
_LIBRARIES = ("torch", "transformers", "trl")
_LIKELY = 0.05
_WIDTH = 100


def run_card(run: Run, config: Config, *, rehearsal: bool) -> dict[str, Any]:
    """Draw the curves, and write `metrics.json` and the card next to the shipped weights."""
    from training.curves import draw_curves  # noqa: PLC0415 - matplotlib is slow to import

    run.require("evaluate")
    figures = metrics(run, config)
    text = model_card(figures, config, rehearsal=rehearsal)
    option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    write_whole(run.folder / "metrics.json", orjson.dumps(figures, option=option))
    write_whole(run.folder / "README.md", text.encode())
    curves = draw_curves(run)
    return {"curves": [path.name for path in curves]}


def metrics(run: Run, config: Config) -> dict[str, Any]:
    """All that was measured, of every step."""
    state, final = run.state, final_model(run)
    found = {name: facts for name, facts in state["evaluate"].items() if name != "finished_at"}
    held_out = found[f"{final}-held_out"]
    return {
        "recipe": {
            "name": config.name,
            "parameters": state["sft"]["parameters"],
            "prompt_sha256": build_guard(config).prompt_sha256,
            "machine": f"{platform.machine()}, {config.threads or 'all'} threads",
            **{name: version(name) for name in _LIBRARIES},
            "config": config.model_dump(mode="json"),
        },
        "steps": {name: state[name] for name in ("sft", "mine", "dpo")},
        "model": final,
        # of the model that ships
        "held_out": {
            "exchanges": held_out["rows"],
            "f1": {task: round(of["f1"] or 0.0, 4) for task, of in held_out["tasks"].items()},
            "inconclusive": held_out["inconclusive"],
            "flags": held_out["flags"],
            "answer_first": held_out["answer_first"],
        },
        "evaluations": found,
    }


def model_card(figures: dict[str, Any], config: Config, *, rehearsal: bool) -> str:
    """Markdown for the folder of the weights."""
    parts = [
        f"---\nlicense: apache-2.0\n---\n# {_title(config)}\n",
        _warning(figures, config, rehearsal=rehearsal),
        f"## Data\n{_data(figures, config)}",
        f"## Recipe\n{_recipe(figures, config)}",
        f"## Score\n{_score(figures, config)}",
        first_answers_section(figures["evaluations"], _NAMES, config.sft.answer_first_share),
        _adversarial(figures),
    ]
    text = "\n\n".join(part.strip() for part in parts if part)
    return "\n".join(_wrapped(line) for line in text.splitlines()) + "\n"


def _wrapped(line: str) -> str:
    """Prose in lines of a page's width; tables and headings as they are."""
    if line.startswith(("|", "#", "---")):
        return line
    return fill(line, _WIDTH, subsequent_indent="  " if line.startswith("- ") else "")


def _title(config: Config) -> str:
    if config.name == "demonstration":
        return "Guardstream's demonstration guard"
    return f"A guard: {config.name}"


def _warning(figures: dict[str, Any], config: Config, *, rehearsal: bool) -> str:
    parameters = figures["recipe"]["parameters"]
    if rehearsal:
        return "**A dry run.** Nothing was learnt, and the labels were drawn at random."
    if config.data.composed is not None:
        return (
            f"**For demonstrations and tests only.** A Llama of {parameters:,} parameters that has"
            " seen nothing but composed sentences; it knows nothing of the world. For moderation"
            " use GuardReasoner-1B, -3B or -8B (`engine.model`)."
        )
    return f"{parameters:,} parameters, trained on from {config.model.path}."


def _data(figures: dict[str, Any], config: Config) -> str:
    rows = figures["steps"]["sft"]["rows"]
    composed = config.data.composed
    if composed is None:
        return f"{rows:,} rows of {config.data.train}, held out {config.data.held_out}."
    return (
        f"{rows:,} exchanges to learn, {composed.mine:,} others to mine, composed by"
        " `training/exchanges.py` from phrases written for this project"
        f" (`training/phrases.toml`, `training/attacks.toml`), seed {config.seed}. No third-party"
        " data."
    )


def _recipe(figures: dict[str, Any], config: Config) -> str:
    sft, mined, dpo = (figures["steps"][name] for name in ("sft", "mine", "dpo"))
    recipe = figures["recipe"]
    muon = config.sft.muon_learning_rate
    rates = f"{config.sft.learning_rate:g} (AdamW)"
    if muon is not None:
        rates = f"{muon:g} (Muon, for the matrices of the layers) and {rates}"
    how = (
        "R-SFT, hard-sample mining and HS-DPO (GuardReasoner, arXiv:2501.18492), as"
        " `python -m training all` runs them; `metrics.json` has the configuration."
    )
    learnt = (
        f"- R-SFT: loss on the completion alone, {sft['steps']:,} steps of {config.sft.batch},"
        f" cosine from {rates}, {config.sft.precision}; {sft['seconds']} s."
    )
    sampled = (
        f"- Mining: {config.mine.completions} completions of each of {mined['items']:,} items at"
        f" temperature {config.mine.temperature:g}: {mined['completions']:,} completions,"
        f" {mined['wrong']:,} wrong, {mined['unreadable']:,} unreadable; {mined['hard']:,} items"
        f" hard{_by_task(mined)}."
    )
    preferred = (
        f"- HS-DPO: {dpo['dpo']['pairs']:,} pairs, {dpo['dpo']['steps']} steps of"
        f" {config.dpo.batch}, cosine from {config.dpo.learning_rate:g}, beta"
        f" {config.dpo.beta:g}, gamma {config.dpo.gamma:g}, {config.dpo.sft_weight:g} times the"
        f" loss on the chosen; {dpo['dpo'].get('seconds', 0)} s."
    )
    lines = [how, "", learnt, *_answering(sft), sampled, preferred]
    if "ablation" in dpo:
        lines.append(
            f"- Without mining: the same loss and rate on {dpo['ablation']['pairs']:,} pairs of"
            " random items, a right completion and any other, all of weight 1."
        )
    versions = ", ".join(f"{name} {recipe[name]}" for name in _LIBRARIES)
    saved = config.model.saved_as
    lines += ["", f"On {recipe['machine']} ({versions}). Weights are stored as {saved}."]
    return "\n".join(lines)


def _answering(sft: dict[str, Any]) -> list[str]:
    """What was learnt of answers before reasoning, and the model that did not learn it."""
    if not sft["answer_first"]:
        return []
    learnt = (
        f"- Answers first: {sft['answer_first']:,} of these rows once more, without reasoning; loss"
        " on each label and the token after it. A batch has rows of one form; all count the same."
    )
    if (alone := sft.get("ablation")) is None:
        return [learnt]
    without = f"- On reasoning alone: {alone['steps']:,} steps without them; {alone['seconds']} s."
    return [learnt, without]


def _by_task(mined: dict[str, Any]) -> str:
    counts = [f"{count} on {task}" for task, count in mined["hard_by_task"].items()]
    return f" ({', '.join(counts)})" if counts else ""


def _score(figures: dict[str, Any], config: Config) -> str:
    found = figures["evaluations"]
    names = [name for name in MODELS if f"{name}-held_out" in found]
    rows = found["sft-held_out"]["rows"]
    said = [f"{rows:,} held-out rows, greedy, through the worker's engine and reader."]
    if config.data.composed is not None:
        said.append(
            "Their request and response frames, contexts, nouns and attacks were never trained on."
            " The acts themselves (to bake bread, to forge a ticket) are the same ones, so this"
            " says nothing of acts it has not seen."
        )
    said.append(
        "An unreadable label counts as wrong; in brackets is the 95 % interval of the bootstrap."
    )
    table = [
        "| task | " + " | ".join(_NAMES[name] for name in names) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    for task in STANDARD_TASKS:
        for figure, shown in (("f1", "F1"), ("macro_f1", "macro F1")):
            cells = [_cell(found[f"{name}-held_out"]["tasks"][task], figure) for name in names]
            table.append(f"| {task}, {shown} | " + " | ".join(cells) + " |")
    counts = [_counts(_NAMES[name], found[f"{name}-held_out"]) for name in names]
    return "\n\n".join([" ".join(said), "\n".join(table), "\n".join(counts), _difference(found)])


def _cell(of: dict[str, Any], figure: str) -> str:
    value, (low, high) = of[figure], of[f"{figure}_interval"]
    return "-" if value is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _counts(name: str, of: dict[str, Any]) -> str:
    misquoted = f", {of['misquoted']} quote the request wrongly" if "misquoted" in of else ""
    return (
        f"- {name}: {of['inconclusive']} of {of['rows']:,} unreadable,"
        f" {of['flags'].get('contradicts_conclusion', 0)} contradict their own"
        f" conclusion{misquoted}."
    )


def _difference(found: dict[str, Any]) -> str:
    """How other models differ from R-SFT's, in words that follow the figures."""
    sentences = []
    for name in MODELS[1:]:
        against = found.get(f"{name}-held_out", {}).get("against_sft")
        if against is None:
            continue
        parts = []
        for task, one in against.items():
            if one["difference"] is None:
                continue
            verdict = "more than chance" if one["p"] < _LIKELY else "no more than chance"
            parts.append(
                f"{task} {one['difference']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}], p ="
                f" {one['p']:.2f}: {verdict}"
            )
        sentences.append(f"- {_NAMES[name]} against R-SFT: {'; '.join(parts)}.")
    parts = []
    if sentences:
        parts.append("Differences of F1, with McNemar's exact test:\n\n" + "\n".join(sentences))
    if "dpo-held_out" not in found:
        parts.append("No item was hard, so there is no HS-DPO to compare.")
    return "\n\n".join(parts)


def _adversarial(figures: dict[str, Any]) -> str:
    found = figures["evaluations"]
    names = [name for name in MODELS if f"{name}-adversarial" in found]
    if not names:
        return ""
    head = (
        f"{found['sft-adversarial']['rows']:,} exchanges that imitate the template, quote verdicts"
        " or forge turns; macro F1 of the three tasks (request, refusal, response)."
    )
    titles = "| attack | rows | " + " | ".join(_NAMES[name] for name in names) + " |"
    table = [titles, "|---" * (len(names) + 2) + "|"]
    everything = [found[f"{name}-adversarial"] for name in names]
    for kind, part in sorted(everything[0]["slices"].items()):
        cells = [_three(one["slices"][kind]["macro_f1"]) for one in everything]
        table.append(f"| {kind} | {part['rows']} | " + " | ".join(cells) + " |")
    whole = [_three({t: of["macro_f1"] for t, of in one["tasks"].items()}) for one in everything]
    table.append(f"| all | {everything[0]['rows']} | " + " | ".join(whole) + " |")
    return "\n\n".join(["## Against attacks", head, "\n".join(table)])


def _three(macro: dict[str, float | None]) -> str:
    values = [macro[task] for task in STANDARD_TASKS]
    return ", ".join("-" if value is None else f"{value:.3f}" for value in values)


def ship_guard(run: Run, folder: Path) -> None:
    """Put the final model, its card and its figures into a folder, in full or not at all.

    Raises:
        UnusableFile: the run is not finished.
    """
    if not run.folder.is_dir():
        raise UnusableFile(f"{run.folder} is no run's folder.")
    run.require("card")

    def copy(beside: Path) -> None:
        # not its modes: what a trainer writes, its user alone may read, and a worker is another
        model = run.model(final_model(run))
        shutil.copytree(model, beside, dirs_exist_ok=True, copy_function=shutil.copyfile)
        for name in ("README.md", "metrics.json"):
            shutil.copy(run.folder / name, beside)

    write_folder(folder, copy)
