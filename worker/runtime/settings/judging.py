"""Settings of batches, the engine and the guard."""

from typing import Any, Literal

from pydantic import Field, field_validator

from worker.domain.calibration import ReasoningMode
from worker.guards import is_known, unknown_guard
from worker.runtime.settings.group import Count, Group, PositiveSeconds, Seconds, Share


class BatchSettings(Group):
    """When a micro-batch goes to the engine; whichever is met first."""

    max_records: Count = Field(64, description="Maximum prompts of a batch.")
    max_tokens: Count = Field(65_536, description="Maximum prompt tokens of a batch.")
    linger_seconds: Seconds = Field(
        0.02,
        description="How long the first record of a batch waits for more while the engine has"
        " others to complete.",
    )


class SimulatedSettings(Group):
    """How the simulated engine answers."""

    allowed: bool = Field(False, description="Let `check` pass with the simulated engine.")
    time_to_first_token_seconds: Seconds = Field(0.05, description="As if of a prefill.")
    time_per_output_token_seconds: Seconds = Field(0.0005, description="As if of a decode step.")
    failure_rate: Share = Field(0.0, description="Share of calls that fail and are retried.")
    refusal_rate: Share = Field(0.0, description="Share of prompts that become dead letters.")
    hang_rate: Share = Field(0.0, description="Share of calls that never complete.")
    death_rate: Share = Field(0.0, description="Share of calls at which the engine dies.")
    cut_rate: Share = Field(
        0.0, description="Share of completions that are cut off, repeat themselves or are garbage."
    )
    poison_rate: Share = Field(
        0.0, description="Share of prompts, chosen by hash, that kill the engine every time."
    )


class EngineSettings(Group):
    """What runs the model."""

    kind: Literal["vllm", "simulated"] = Field(
        "vllm", description="`simulated` needs no GPU and writes verdicts that no model has made."
    )
    model: str = Field(
        "yueliu1999/GuardReasoner-3B",
        description="A folder, a Hugging Face name, or `demonstration` for the bundled guard.",
    )
    revision: str | None = Field(None, description="Pin it in production.")
    gpu_memory_utilization: float = Field(
        0.95, gt=0, le=1, description="Share of the memory of the GPU that vLLM may use."
    )
    max_num_seqs: Count = Field(256, description="Maximum number of concurrent prompts.")
    max_tokens: Count = Field(2048, description="Maximum tokens of a completion.")
    max_model_len: int | None = Field(None, ge=64, description="The model's own limit if unset.")
    request_timeout_seconds: PositiveSeconds = Field(
        120.0, description="Limit of one request to the engine, its wait there included."
    )
    attempts: Count = Field(
        3, description="Attempts for one record before it becomes a dead letter."
    )
    on_death: Literal["exit", "restart"] = Field(
        "exit",
        description="When the engine dies or hangs: exit the worker, or load the model again. In"
        " both cases a record that kills the engine is dead-lettered after at most four deaths.",
    )
    restarts: Count = Field(
        5,
        description="Restarts within an hour before the worker exits.",
    )
    stall_seconds: PositiveSeconds = Field(
        60.0,
        description="Time without a step, with prompts at the engine, until it counts as hung.",
    )
    extra: dict[str, Any] = Field({}, description="Other arguments of vLLM's engine.")
    simulated: SimulatedSettings = SimulatedSettings()


class JudgingSettings(Group):
    """When the guard reasons, and how labels and scores are obtained."""

    reasoning: ReasoningMode = Field(
        "always",
        description="When the guard reasons: `always`; `unsure` where its score before reasoning is"
        " not sure; `flagged` also where that score says harmful; `never`. All but `always` need a"
        " calibration file that allows them; see docs/scoring.md.",
    )
    calibration_file: str | None = Field(
        None,
        description="What `guardstream calibrate` wrote for this guard and engine. Unset, it is"
        " `calibration.json` in the model's folder, if that is there.",
    )
    scores: bool = Field(
        False,
        description="With `always`: ask for the probability of each label after the reasoning, in"
        " one more short request. The other modes have scores anyway.",
    )
    audit_share: Share = Field(
        0.01,
        description="Share of the exchanges with a sure score that the guard reasons about all the"
        " same; the metrics show how often it then agrees.",
    )
    gate_prompt_only: bool | None = Field(
        None,
        description="Ask for the first task only where there is no response. Unset, it is on if the"
        " calibration file shows an agreement of at least 99.5 %.",
    )

    repair: bool = Field(
        True,
        description="Ask for the labels that a completion lacks, because it was cut off, repeats"
        " itself or has another form; verdicts name their source `repair`.",
    )
    least_mass: Share = Field(
        0.5,
        description="Least probability of the possible labels together at which a forced answer is"
        " believed; below it, the task has no label.",
    )


class GuardSettings(Group):
    """How the model is asked and read."""

    name: str = Field(
        "guardreasoner",
        description="A guard that ships or that a package offers, or the path of a description.",
    )
    options: dict[str, Any] = Field(
        {}, description="What the description of a guard lets you set, such as categories."
    )
    context_turns: int = Field(
        0,
        ge=0,
        le=1000,
        description="Most earlier turns of the conversation that a guard which takes conversations"
        " is given; they begin with the user, so an odd number counts as one less.",
    )
    context_tokens: Count = Field(
        2048, description="Most tokens of the earlier turns together; a turn is never cut."
    )
    prompt_form: Literal["raw", "chat"] = Field(
        "raw", description="The published scores were measured with `raw`."
    )

    @field_validator("name")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if not is_known(name):
            raise ValueError(unknown_guard(name))
        return name


class PolicySettings(Group):
    """What a verdict leads to. A change of a file counts without a restart."""

    file: str | None = Field(
        None,
        description="Policy that decides on each verdict; unset, there are no decisions.",
    )
    shadow_file: str | None = Field(
        None,
        description="Policy that is tried: its actions are counted, and published nowhere.",
    )


class BreakerSettings(Group):
    """When the worker waits, rather than turn everything into dead letters."""

    max_failed_run: Count = Field(20, description="Consecutive records on which the engine failed.")
    max_failed_share: Share = Field(0.5, description="Share of the last `window_records`.")
    window_records: Count = Field(100, description="How many of the last records are counted.")
    cool_seconds: PositiveSeconds = Field(
        1.0, description="Time until one record probes the engine; doubles on each failure."
    )
    max_cool_seconds: PositiveSeconds = Field(30.0, description="Longest time between two probes.")
