"""Every setting: its unit, its default, its reason.

Values come from the environment (`GUARDSTREAM_INPUT__GROUP_ID=...`), then from a YAML file
(`--config`), then from the defaults. An unknown key is an error.
"""

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from worker.domain.errors import WrongSetting
from worker.guards import GUARDS

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
    client_secret: SecretStr | None = Field(
        None, description="Prefer `kafka.oauth.client_secret_file`."
    )
    client_secret_file: Path | None = Field(None, description="Read again for each token.")
    scope: str | None = None
    ca_file: Path | None = Field(None, description="CA certificates for the token endpoint, PEM.")


class KafkaSettings(_Group):
    """Connection to the brokers."""

    bootstrap_servers: str = Field("localhost:9092", description="Brokers, comma separated.")
    connect_timeout_seconds: PositiveSeconds | None = Field(
        None,
        description="How long `run` waits at startup for unreachable brokers; without limit if"
        " unset. Other commands do not wait.",
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="`docs/security.md` has an example of each."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = "PLAIN"
    username: str | None = None
    password: SecretStr | None = Field(None, description="Prefer `kafka.password_file`.")
    password_file: Path | None = Field(None, description="Read when a client is created.")
    ca_file: Path | None = Field(
        None, description="Trusted CA certificates, PEM; the system's if unset."
    )
    certificate_file: Path | None = Field(
        None,
        description="Client certificate for mTLS, PEM; read again before a handshake if it"
        " changed.",
    )
    key_file: Path | None = Field(
        None, description="Key of the client certificate, unless it is in the same file."
    )
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
        description="A name unique to this worker (static membership): a restart within the session"
        " moves no partition.",
    )
    session_timeout_seconds: PositiveSeconds = Field(
        10.0, description="Time without a heartbeat after which the group evicts a worker."
    )
    isolation_level: Literal["read_committed", "read_uncommitted"] = "read_committed"
    framing: Literal["none", "confluent"] = Field(
        "none",
        description="`confluent`: the wire format of a schema registry's serialisers. Values"
        " begin with byte 0 and a schema id, or have the id in the header `__value_schema_id`;"
        " only JSON is supported.",
    )
    start_from: Literal["earliest", "latest"] = Field(
        "earliest", description="Where a group without committed offsets starts."
    )
    on_offset_lost: Literal["earliest", "latest"] | None = Field(
        None,
        description="Where to resume after retention deleted unread records; the worker stops if"
        " unset.",
    )
    queued_records_per_partition: Count = 512
    queued_bytes_per_partition: Count = 16 << 20
    queued_bytes: Count = Field(256 << 20, description="Limit over all partitions.")
    unsettled_records_per_partition: Count = Field(
        4096, description="Records read past one slow record before its partition is paused."
    )


class OutputSettings(_Group):
    """Where outcomes go."""

    verdict_topic: str = Field("moderation-verdicts", min_length=1)
    dead_letter_topic: str = Field("moderation-dead-letters", min_length=1)
    reasoning: Literal["full", "none"] = Field(
        "full",
        description="`none` leaves the reasoning out of verdicts; reasoning can quote chat text.",
    )
    cloudevents: bool = Field(
        False,
        description="Add `ce_*` headers, so that verdicts are CloudEvents (Kafka's binary mode).",
    )


class DeliverySettings(_Group):
    """When offsets move."""

    guarantee: Literal["at_least_once", "exactly_once"] = Field(
        "at_least_once",
        description="`exactly_once` requires `read_committed` consumers of the outputs.",
    )
    commit_interval_seconds: PositiveSeconds = 1.0
    transaction_max_records: Count = 500
    transaction_interval_seconds: Seconds = Field(
        0.2, description="How long judged records wait for more before their transaction opens."
    )
    transactions_per_second: float = Field(
        50.0,
        gt=0,
        description="Limit over all partitions; with many partitions, transactions wait longer.",
    )
    transaction_timeout_seconds: PositiveSeconds = Field(
        20.0,
        description="Time after which the brokers abort the transaction of a worker that is gone.",
    )


class BatchSettings(_Group):
    """When a micro-batch goes to the engine; whichever is met first."""

    max_records: Count = 64
    max_tokens: Count = Field(65_536, description="Maximum prompt tokens of a batch.")
    linger_seconds: Seconds = Field(
        0.02, description="How long the first record of a batch waits for more."
    )


class SimulatedSettings(_Group):
    """How the simulated engine answers."""

    allowed: bool = Field(False, description="Let `check` pass with the simulated engine.")
    time_to_first_token_seconds: Seconds = 0.05
    time_per_output_token_seconds: Seconds = 0.0005
    failure_rate: Share = Field(0.0, description="Share of calls that fail and are retried.")
    refusal_rate: Share = Field(0.0, description="Share of prompts that become dead letters.")
    hang_rate: Share = Field(0.0, description="Share of calls that never complete.")
    death_rate: Share = Field(0.0, description="Share of calls at which the engine dies.")
    poison_rate: Share = Field(
        0.0, description="Share of prompts, chosen by hash, that kill the engine every time."
    )


class EngineSettings(_Group):
    """What runs the model."""

    kind: Literal["vllm", "simulated"] = "vllm"
    model: str = Field(
        "yueliu1999/GuardReasoner-3B",
        description="A folder, a Hugging Face name, or `demonstration` for the bundled guard.",
    )
    revision: str | None = Field(None, description="Pin it in production.")
    gpu_memory_utilization: float = Field(0.95, gt=0, le=1)
    max_num_seqs: Count = Field(256, description="Maximum number of concurrent prompts.")
    max_tokens: Count = Field(2048, description="Maximum tokens of a completion.")
    max_model_len: int | None = Field(None, ge=64, description="The model's own limit if unset.")
    request_timeout_seconds: PositiveSeconds = 120.0
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


class GuardSettings(_Group):
    """How the model is asked and read."""

    name: str = Field("guardreasoner", description="A guard that ships.")
    prompt_form: Literal["raw", "chat"] = Field(
        "raw", description="The published scores were measured with `raw`."
    )

    @field_validator("name")
    @classmethod
    def _ships(cls, name: str) -> str:
        if name not in GUARDS:
            raise ValueError(f"there is no guard {name!r}; use {', '.join(GUARDS)}")
        return name


class BreakerSettings(_Group):
    """When the worker waits, rather than turn everything into dead letters."""

    max_failed_run: Count = Field(20, description="Consecutive records on which the engine failed.")
    max_failed_share: Share = Field(0.5, description="Share of the last `window_records`.")
    window_records: Count = 100
    cool_seconds: PositiveSeconds = Field(
        1.0, description="Time until one record probes the engine; doubles on each failure."
    )
    max_cool_seconds: PositiveSeconds = 30.0


class ShutdownSettings(_Group):
    """How the worker ends."""

    drain_seconds: Seconds = Field(20.0, description="Time to finish records in flight.")


class HealthSettings(_Group):
    """Probes and metrics of the worker."""

    host: str = "0.0.0.0"  # noqa: S104 - probes come from outside the container
    port: int = Field(8080, ge=0, le=65535, description="0 disables the server.")
    stuck_seconds: PositiveSeconds = Field(
        300.0,
        description="`/readyz` fails if the committed offset of a partition with lag does not"
        " move for this long; must be longer than `engine.request_timeout_seconds`.",
    )


class TelemetrySettings(_Group):
    """Export to a collector; `/metrics` does not depend on it."""

    otlp_endpoint: str | None = Field(
        None,
        description="Base URL of a collector for spans and metrics (OTLP over HTTP,"
        " `http://collector:4318`).",
    )
    sampled_share: Share = Field(
        1.0,
        description="Share of traces that start in the worker; a producer's decision is respected.",
    )
    push_seconds: PositiveSeconds = Field(
        30.0, description="Interval between two pushes of metrics."
    )
    content_characters: int = Field(
        0,
        ge=0,
        description="Characters of prompts and completions recorded on spans; they contain chat"
        " text.",
    )


class LogSettings(_Group):
    """Logs on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Libraries log at `warning` and above."
    )
    format: Literal["auto", "console", "json"] = Field(
        "auto", description="`auto` is `console` if stderr is a terminal, else `json`."
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
