"""A run's configuration: one YAML file defines the model, the data and the parameters.

The defaults are the GuardReasoner paper's (arXiv:2501.18492); an unknown key is refused by name.
"""

from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from worker.domain.errors import WrongSetting
from worker.guards.guardreasoner.prompt import PromptForm

Precision = Literal["bfloat16", "float32"]


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FromScratch(_Group):
    """A Llama with random weights, and a tokenizer trained on the rows."""

    vocabulary: int = Field(ge=300)
    hidden: int = Field(gt=0)
    intermediate: int = Field(gt=0)
    layers: int = Field(gt=0)
    heads: int = Field(gt=0)
    head_size: int = Field(gt=0)


class Lora(_Group):
    """Adapters instead of a full fine-tune; they are merged into what is saved."""

    rank: int = Field(16, gt=0)
    alpha: int = Field(32, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)


class Model(_Group):
    """What training begins with: a model's folder or Hugging Face name, or nothing."""

    path: str | None = None
    revision: str | None = None
    from_scratch: FromScratch | None = None
    lora: Lora | None = None
    saved_as: Precision = "bfloat16"

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.path is None) == (self.from_scratch is None):
            raise ValueError("give one of path and from_scratch")
        return self


class Composed(_Group):
    """How many exchanges of `training/exchanges.py` to compose for each purpose.

    No step uses those of `calibrate`: they are for `guardstream calibrate`.
    """

    train: int = Field(gt=0)
    mine: int = Field(gt=0)
    held_out: int = Field(gt=0)
    adversarial: int = Field(gt=0)
    calibrate: int = Field(0, ge=0)


class Data(_Group):
    """Files of rows, or exchanges that are composed.

    Some rows of `train` need a completion; `mine` is `train` where it is absent.
    """

    train: Path | None = None
    mine: Path | None = None
    held_out: Path | None = None
    adversarial: Path | None = None
    composed: Composed | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        files = [self.train, self.mine, self.held_out, self.adversarial]
        if self.composed is not None and any(files):
            raise ValueError("give files or composed, not both")
        if self.composed is None and (self.train is None or self.held_out is None):
            raise ValueError("give composed, or the files train and held_out")
        return self


class Training(_Group):
    """What both trainings have in common; rows of more than `max_tokens` are left out."""

    learning_rate: float = Field(gt=0)
    epochs: float = Field(gt=0)
    batch: int = Field(gt=0)
    device_batch: int = Field(1, gt=0)
    warmup_share: float = Field(0.0, ge=0, lt=1)
    max_tokens: int = Field(2048, gt=1)
    precision: Precision = "bfloat16"
    gradient_checkpointing: bool = False
    checkpoint_steps: int = Field(100, gt=0)


class Sft(Training):
    """R-SFT. `muon_learning_rate` has Muon step the layers' matrices.

    `answer_first_share` of the rows are also learnt with the answers right after the prompt, so
    that the guard has a score before it reasons. With `ablation`, the same model is also trained
    without them.
    """

    learning_rate: float = Field(5e-5, gt=0)
    epochs: float = Field(3, gt=0)
    batch: int = Field(384, gt=0)
    muon_learning_rate: float | None = Field(None, gt=0)
    shared_prefix: bool = False
    answer_first_share: float = Field(0.0, ge=0, le=1)
    ablation: bool = False


class Mine(_Group):
    """Hard samples: `completions` of each item from R-SFT's model and from each of a subset.

    `subsets` are models trained as R-SFT's is, each on its own `subset_share` of the rows.
    """

    completions: int = Field(4, ge=2)
    temperature: float = Field(1.0, gt=0)
    max_tokens: int = Field(2048, gt=0)
    subsets: int = Field(0, ge=0)
    subset_share: float = Field(0.5, gt=0, lt=1)


class Dpo(Training):
    """HS-DPO. With `ablation`, the same steps are also made on pairs of random items."""

    learning_rate: float = Field(5e-6, gt=0)
    epochs: float = Field(2, gt=0)
    batch: int = Field(256, gt=0)
    beta: float = Field(0.01, gt=0)
    gamma: float = Field(0.2, ge=0, lt=1)
    sft_weight: float = Field(2.0, ge=0)
    ablation: bool = True


class Evaluate(_Group):
    """Greedy completions of at most `max_tokens`; bootstrap of `resamples`."""

    max_tokens: int = Field(2048, gt=0)
    resamples: int = Field(1000, ge=100)


class Config(_Group):
    """One run."""

    name: str = Field(min_length=1)
    seed: int = 0
    threads: int | None = Field(None, gt=0)
    prompt_form: PromptForm = "raw"
    model: Model
    data: Data
    sft: Sft = Sft()
    mine: Mine = Mine()
    dpo: Dpo = Dpo()
    evaluate: Evaluate = Evaluate()
    engine: dict[str, Any] = Field(default_factory=dict)


def read_config(path: Path) -> Config:
    """The configuration in a file.

    Raises:
        WrongSetting: it cannot be read, a key is unknown, or a value cannot be used.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WrongSetting(f"{path} cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise WrongSetting(f"{path} is not a YAML mapping.") from None
    if not isinstance(document, dict):
        raise WrongSetting(f"{path} is not a YAML mapping.")
    return parse_config(document, str(path))


def parse_config(document: dict[str, Any], name: str) -> Config:
    """The configuration that a mapping holds.

    Raises:
        WrongSetting: a key is unknown, or a value cannot be used.
    """
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            raise WrongSetting(f"{name}: there is no key {key}.") from None
        what = fault["msg"].removeprefix("Value error, ")
        raise WrongSetting(f"{name}: {key or 'it'} cannot be used: {what}.") from None


_REHEARSED = {"epochs": 1, "batch": 8, "device_batch": 4, "checkpoint_steps": 1}


def rehearsed(config: Config) -> Config:
    """The same run in small: a random model of millions of parameters, composed rows, few steps."""
    document = config.model_dump()
    lora = document["model"]["lora"]
    scratch = FromScratch(
        vocabulary=1024, hidden=192, intermediate=512, layers=4, heads=6, head_size=32
    )
    document["model"] = {"from_scratch": scratch, "lora": lora}
    document["data"] = {"composed": Composed(train=24, mine=16, held_out=12, adversarial=6)}
    document["sft"] |= _REHEARSED
    document["dpo"] |= _REHEARSED
    document["evaluate"] |= {"resamples": 100}
    return parse_config(document, f"{config.name} (dry run)")
