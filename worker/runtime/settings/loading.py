"""All settings, and where their values come from.

The environment (`GUARDSTREAM_INPUT__GROUP_ID=...`) wins over a YAML file (`--config`), which wins
over the defaults. An unknown key is an error.
"""

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from worker.domain.errors import WrongSetting
from worker.runtime.settings.judging import (
    BatchSettings,
    BreakerSettings,
    EngineSettings,
    GuardSettings,
    JudgingSettings,
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
# variables of this prefix that are not settings of the worker
_NOT_SETTINGS = ("TEST_", "CACHE_DIR", "CONFIG")


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
    breaker: BreakerSettings = BreakerSettings()
    shutdown: ShutdownSettings = ShutdownSettings()
    health: HealthSettings = HealthSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    log: LogSettings = LogSettings()

    @property
    def in_flight_limit(self) -> int:
        """Records at the engine: one batch more than it runs at once, so that it never waits."""
        return self.engine.max_num_seqs + self.batch.max_records


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
