"""All settings, in their groups."""

from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from worker.runtime.settings.judging import (
    BatchSettings,
    BreakerSettings,
    EngineSettings,
    GuardSettings,
    JudgingSettings,
    PolicySettings,
)
from worker.runtime.settings.kafka import (
    DeliverySettings,
    InputSettings,
    KafkaSettings,
    OutputSettings,
)
from worker.runtime.settings.operation import (
    HealthSettings,
    LogSettings,
    ShutdownSettings,
    TelemetrySettings,
)

PREFIX = "GUARDSTREAM_"


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
    judging: JudgingSettings = JudgingSettings()
    policy: PolicySettings = PolicySettings()
    breaker: BreakerSettings = BreakerSettings()
    shutdown: ShutdownSettings = ShutdownSettings()
    health: HealthSettings = HealthSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    log: LogSettings = LogSettings()

    @property
    def in_flight_limit(self) -> int:
        """Records at the engine: one batch more than it runs at once, so that it never waits."""
        return self.engine.max_num_seqs + self.batch.max_records


class Setting(NamedTuple):
    """One setting: its path, as `("input", "group_id")`, its field, and its default."""

    path: tuple[str, ...]
    field: FieldInfo
    default: Any

    @property
    def name(self) -> str:
        """As documents show it: `input.group_id`."""
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return variable_of(self.path)

    @property
    def is_secret(self) -> bool:
        """Whether its value must not be shown."""
        return SecretStr in (self.field.annotation, *get_args(self.field.annotation))


def settings_list() -> list[Setting]:
    """Every setting, in the order of the groups."""

    def walk(group: BaseModel, path: tuple[str, ...]) -> Iterator[Setting]:
        for key, field in type(group).model_fields.items():
            value = getattr(group, key)
            if isinstance(value, BaseModel):
                yield from walk(value, (*path, key))
            else:
                yield Setting((*path, key), field, value)

    return [
        setting
        for name, field in Settings.model_fields.items()
        for setting in walk(field.default, (name,))
    ]


def variable_of(path: tuple[str, ...]) -> str:
    """The environment variable of a setting or a group."""
    return PREFIX + "__".join(path).upper()
