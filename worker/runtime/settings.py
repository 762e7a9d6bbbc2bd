"""Every setting: its unit, its default, its reason.

Values come from the environment (`GUARDSTREAM_INPUT__GROUP_ID=...`), then from a YAML file
(`--config`), then from the defaults. An unknown key is an error.
"""

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from worker.domain.errors import WrongSetting

PREFIX = "GUARDSTREAM_"
# variables of this prefix that are not settings of the worker
_NOT_SETTINGS = ("TEST_", "CACHE_DIR", "CONFIG")

Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0)]
PositiveSeconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OauthSettings(_Group):
    """Where tokens for `OAUTHBEARER` come from: the client credentials grant."""

    token_endpoint_url: str | None = Field(None, pattern="^https?://")
    client_id: str | None = None
    client_secret: SecretStr | None = Field(None, description="Better a file.")
    client_secret_file: Path | None = Field(None, description="Read anew for each token.")
    scope: str | None = None
    ca_file: Path | None = Field(
        None, description="Who is trusted to have signed the endpoint's certificate, PEM."
    )


class KafkaSettings(_Group):
    """How to reach the brokers."""

    bootstrap_servers: str = Field("localhost:9092", description="Brokers, comma separated.")
    connect_timeout_seconds: PositiveSeconds | None = Field(
        None,
        description="How long `run` waits at its start for brokers that cannot be reached; for ever"
        " if unset. Other commands do not wait.",
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="`docs/security.md` has an example of each."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = "PLAIN"
    username: str | None = None
    password: SecretStr | None = Field(None, description="Better a file.")
    password_file: Path | None = Field(None, description="Read when a client is built.")
    ca_file: Path | None = Field(
        None, description="Certificates that are trusted, PEM; the system's when unset."
    )
    certificate_file: Path | None = Field(
        None,
        description="The client's, for mTLS, PEM; reloaded before a handshake when it changed.",
    )
    key_file: Path | None = Field(None, description="Its key, unless that is in the same file.")
    key_password_file: Path | None = None
    client_id: str = "guardstream"
    oauth: OauthSettings = OauthSettings()

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        for name, group in (("kafka.password", self), ("kafka.oauth.client_secret", self.oauth)):
            key = name.rpartition(".")[2]
            if getattr(group, key) and getattr(group, f"{key}_file"):
                raise ValueError(f"{name} and {name}_file are both set; keep one")
        if self.security_protocol.startswith("SASL"):
            missing = self._missing()
            if missing:
                raise ValueError(f"{self.sasl_mechanism} needs {' and '.join(missing)}")
        return self

    def _missing(self) -> list[str]:
        oauth = self.oauth
        if self.sasl_mechanism == "OAUTHBEARER":
            needed: dict[str, object] = {
                "kafka.oauth.token_endpoint_url": oauth.token_endpoint_url,
                "kafka.oauth.client_id": oauth.client_id,
                "kafka.oauth.client_secret_file": oauth.client_secret or oauth.client_secret_file,
            }
        else:
            needed = {
                "kafka.username": self.username,
                "kafka.password_file": self.password or self.password_file,
            }
        return [name for name, value in needed.items() if not value]


class InputSettings(_Group):
    """What is consumed."""

    topics: list[str] = Field(["chat-events"], min_length=1)
    group_id: str = Field("guardstream", min_length=1)
    group_instance_id: str | None = Field(
        None,
        min_length=1,
        description="A name of this worker alone: its restart within the session then moves no"
        " partition.",
    )
    session_timeout_seconds: PositiveSeconds = Field(
        10.0, description="Silence after which the group goes on without a worker."
    )
    isolation_level: Literal["read_committed", "read_uncommitted"] = "read_committed"
    framing: Literal["none", "confluent"] = Field(
        "none",
        description="`confluent`: values begin with byte 0 and a schema id, or have it in the"
        " header `__value_schema_id`, as serialisers of a schema registry write them; only JSON"
        " is read.",
    )
    start_from: Literal["earliest", "latest"] = Field(
        "earliest", description="Where a group without offsets begins."
    )
    on_offset_lost: Literal["earliest", "latest"] | None = Field(
        None, description="Where to go on when retention was faster; stops the worker if unset."
    )
    queued_records_per_partition: Count = 512
    queued_bytes_per_partition: Count = 16 << 20
    queued_bytes: Count = Field(256 << 20, description="Over all partitions.")
    unsettled_records_per_partition: Count = Field(
        4096, description="Read on behind one slow record before its partition is paused."
    )


class OutputSettings(_Group):
    """Where outcomes go."""

    verdict_topic: str = Field("moderation-verdicts", min_length=1)
    dead_letter_topic: str = Field("moderation-dead-letters", min_length=1)
    reasoning: Literal["full", "none"] = Field("full", description="It can quote people.")
    cloudevents: bool = Field(
        False, description="Verdicts are CloudEvents too, by `ce_*` headers (Kafka's binary mode)."
    )


class DeliverySettings(_Group):
    """When offsets move."""

    guarantee: Literal["at_least_once", "exactly_once"] = Field(
        "at_least_once",
        description="`exactly_once` needs consumers of the outputs that read committed.",
    )
    commit_interval_seconds: PositiveSeconds = 1.0
    transaction_max_records: Count = 500
    transaction_interval_seconds: Seconds = Field(
        0.2, description="What is judged waits this long for company in its transaction."
    )
    transactions_per_second: float = Field(
        50.0, gt=0, description="Of all partitions together: many wait for longer."
    )
    transaction_timeout_seconds: PositiveSeconds = Field(
        20.0, description="After which the brokers abort one whose worker is gone."
    )


class BatchSettings(_Group):
    """When a micro-batch goes to the engine; whichever is met first."""

    max_records: Count = 64
    max_tokens: Count = Field(65_536, description="Prompt tokens.")
    linger_seconds: Seconds = Field(0.02, description="The first record's wait for company.")


class SimulatedSettings(_Group):
    """How the simulated engine answers."""

    allowed: bool = Field(False, description="Lets `check` pass with an engine that judges nothing")
    time_to_first_token_seconds: Seconds = 0.05
    time_per_output_token_seconds: Seconds = 0.0005
    failure_rate: Share = Field(0.0, description="Calls that fail and are tried again.")
    refusal_rate: Share = Field(0.0, description="Prompts that become dead letters.")
    hang_rate: Share = Field(0.0, description="Calls that never end.")
    death_rate: Share = Field(0.0, description="Calls at which the engine dies.")
    poison_rate: Share = Field(
        0.0, description="Prompts, chosen by their hash, that kill the engine every time."
    )


class EngineSettings(_Group):
    """What runs the model."""

    kind: Literal["vllm", "simulated"] = "vllm"
    model: str = Field(
        "yueliu1999/GuardReasoner-3B",
        description="A folder, a Hugging Face name, or `demonstration` for the guard that ships.",
    )
    revision: str | None = Field(None, description="Pin it in production.")
    gpu_memory_utilization: float = Field(0.95, gt=0, le=1)
    max_num_seqs: Count = Field(256, description="Prompts at once.")
    max_tokens: Count = Field(2048, description="Of a completion.")
    max_model_len: int | None = Field(None, ge=64, description="The model's own when unset.")
    request_timeout_seconds: PositiveSeconds = 120.0
    attempts: Count = Field(3, description="Calls for one record before it is a dead letter.")
    on_death: Literal["exit", "restart"] = Field(
        "exit",
        description="An engine that died or hangs: end the worker, or load the model again. Either"
        " way a record that kills the engine is found and dead-lettered after at most four deaths.",
    )
    restarts: Count = Field(
        5,
        description="Within an hour, before the worker ends all the same.",
    )
    stall_seconds: PositiveSeconds = Field(
        60.0, description="Without a step, with prompts at the engine, until it counts as hung."
    )
    extra: dict[str, Any] = Field({}, description="Any other argument of vLLM's engine.")
    simulated: SimulatedSettings = SimulatedSettings()


class GuardSettings(_Group):
    """How the model is asked and read."""

    name: Literal["guardreasoner"] = "guardreasoner"
    prompt_form: Literal["raw", "chat"] = Field(
        "raw", description="`raw` is how the published scores were made."
    )


class BreakerSettings(_Group):
    """When the worker waits, rather than turn everything into dead letters."""

    max_failed_run: Count = Field(20, description="Records the engine failed on in a row.")
    max_failed_share: Share = Field(0.5, description="Of the last `window_records`.")
    window_records: Count = 100
    cool_seconds: PositiveSeconds = Field(
        1.0, description="Until one record probes the engine; doubles while that fails."
    )
    max_cool_seconds: PositiveSeconds = 30.0


class ShutdownSettings(_Group):
    """How the worker ends."""

    drain_seconds: Seconds = Field(20.0, description="For what is in flight.")


class HealthSettings(_Group):
    """Where the worker says how it is."""

    host: str = "0.0.0.0"  # noqa: S104 - probes come from outside the container
    port: int = Field(8080, ge=0, le=65535, description="0 turns it off.")
    stuck_seconds: PositiveSeconds = Field(
        300.0,
        description="A partition with lag whose committed offset stands still for so long makes"
        " `/readyz` fail; longer than `engine.request_timeout_seconds`.",
    )


class TelemetrySettings(_Group):
    """What is told to a collector; `/metrics` needs none of it."""

    otlp_endpoint: str | None = Field(
        None,
        description="A collector's base URL (OTLP over HTTP, `http://collector:4318`): spans and"
        " metrics go there.",
    )
    sampled_share: Share = Field(
        1.0, description="Of traces that begin here; a producer's own decision is respected."
    )
    push_seconds: PositiveSeconds = Field(30.0, description="Between two pushes of metrics.")
    content_characters: int = Field(
        0, ge=0, description="Of prompts and completions kept on spans: they are people's words."
    )


class LogSettings(_Group):
    """What the worker says on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Of libraries only warnings and worse are heard."
    )
    format: Literal["auto", "console", "json"] = Field(
        "auto", description="`console` where stderr is a terminal, else `json`."
    )


class Settings(BaseSettings):
    """All settings."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    kafka: KafkaSettings = KafkaSettings()
    input: InputSettings = InputSettings()
    output: OutputSettings = OutputSettings()
    delivery: DeliverySettings = DeliverySettings()
    batch: BatchSettings = BatchSettings()
    engine: EngineSettings = EngineSettings()
    guard: GuardSettings = GuardSettings()
    breaker: BreakerSettings = BreakerSettings()
    shutdown: ShutdownSettings = ShutdownSettings()
    health: HealthSettings = HealthSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    log: LogSettings = LogSettings()


def load_settings(config: Path | None = None, **overrides: dict[str, Any]) -> Settings:
    """The settings of the environment and the file; `overrides` of a group win over both.

    Raises:
        WrongSetting: a key is unknown, or a value cannot be used.
    """
    _refuse_unknown_variables()

    class Sourced(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            if config is None:
                return init_settings, env_settings
            return init_settings, env_settings, YamlConfigSettingsSource(settings_cls, config)

    if config is not None and not config.is_file():
        raise WrongSetting(f"The settings file {config} is not there.")
    try:
        return Sourced(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        raise WrongSetting(_explain(error)) from None
    except (yaml.YAMLError, TypeError, AttributeError) as error:
        raise WrongSetting(f"The settings file {config} is not a YAML mapping.") from error
    except ValueError as error:
        # pydantic-settings: a list or mapping in the environment that is not JSON
        raise WrongSetting(f"{error}; write lists and mappings as JSON.") from None


def settings_table() -> str:
    """Every setting as rows of a Markdown table, for the README."""
    rows = ["| setting | default | |", "|---|---|---|"]

    def add(name: str, group: BaseModel) -> None:
        for key, field in type(group).model_fields.items():
            value = getattr(group, key)
            if isinstance(value, BaseModel):
                add(f"{name}.{key}", value)
            else:
                shown = "" if value is None else f"`{json.dumps(value)}`"
                rows.append(f"| `{name}.{key}` | {shown} | {field.description or ''} |")

    for name, field in Settings.model_fields.items():
        add(name, field.default)
    return "\n".join(rows)


def _refuse_unknown_variables() -> None:
    groups = [name.upper() for name in Settings.model_fields]
    for variable in os.environ:
        name = variable.removeprefix(PREFIX)
        if name == variable or name.startswith(_NOT_SETTINGS):
            continue
        if name.split("__")[0] not in groups:
            raise WrongSetting(
                f"There is no setting {variable}; the groups are {', '.join(groups).lower()},"
                f" as in {PREFIX}INPUT__GROUP_ID."
            )


def _explain(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    name = ".".join(str(part) for part in fault["loc"])
    variable = PREFIX + "__".join(str(part).upper() for part in fault["loc"])
    what = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        return f"There is no setting {name} ({variable})."
    return f"The setting {name} ({variable}) cannot be used: {what}."
