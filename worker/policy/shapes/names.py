"""The names of the shapes; imports nothing more, since `--help` of the command line needs them."""

from typing import Literal

ShapeName = Literal["guardstream", "otel-guardrail", "osprey", "coop", "openai-moderation"]
