"""Settings of shutdown, probes, telemetry and logs."""

from typing import Literal

from pydantic import Field

from worker.runtime.settings.group import Group, PositiveSeconds, Seconds, Share


class ShutdownSettings(Group):
    """How the worker ends."""

    drain_seconds: Seconds = Field(20.0, description="Time to finish records in flight.")


class HealthSettings(Group):
    """Probes and metrics of the worker."""

    host: str = Field(
        "0.0.0.0",  # noqa: S104 - probes come from outside the container
        description="Address that the HTTP server listens on.",
    )
    port: int = Field(8080, ge=0, le=65535, description="0 disables the server.")
    stuck_seconds: PositiveSeconds = Field(
        300.0,
        description="`/readyz` fails if the committed offset of a partition with lag does not"
        " move for this long; must be longer than `engine.request_timeout_seconds`.",
    )


class TelemetrySettings(Group):
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


class LogSettings(Group):
    """Logs on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Libraries log at `warning` and above."
    )
    format: Literal["auto", "console", "json"] = Field(
        "auto", description="`auto` is `console` if stderr is a terminal, else `json`."
    )
