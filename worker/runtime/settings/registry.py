"""Settings of the schema registry, from which `input.framing: registry` gets its schemas."""

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from worker.runtime.settings.group import Group, PositiveSeconds

# a load of records holds up to 64 schemas
_LEAST_CACHED = 64


class RegistrySettings(Group):
    """A schema registry with Confluent's API."""

    url: str | None = Field(
        None,
        pattern="^https?://",
        description="The address below which `/schemas/ids` is; Apicurio's ends in"
        " `/apis/ccompat/v7`.",
    )
    username: str | None = Field(None, description="For basic authentication.")
    password: SecretStr | None = Field(None, description="Prefer `input.registry.password_file`.")
    password_file: Path | None = Field(None, description="Read again for each request.")
    token_file: Path | None = Field(
        None, description="A bearer token, instead of a user; read again for each request."
    )
    ca_file: Path | None = Field(
        None, description="Trusted CA certificates, PEM; the system's if unset."
    )
    timeout_seconds: PositiveSeconds = Field(10.0, description="Limit of one request.")
    cache_schemas: Annotated[int, Field(ge=_LEAST_CACHED)] = Field(
        1000, description="Schemas kept; the least recently used is fetched again."
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.password and self.password_file:
            raise ValueError(
                "input.registry.password and input.registry.password_file are both set; keep one"
            )
        if self.token_file and self.username is not None:
            raise ValueError(
                "input.registry.token_file and input.registry.username are both set; keep one"
            )
        if self.url and "@" in urlsplit(self.url).netloc:
            raise ValueError(
                "input.registry.url holds credentials: use input.registry.username and"
                " input.registry.password_file"
            )
        return self
