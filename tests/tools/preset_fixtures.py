"""`python -m tests.tools.preset_fixtures`: writes the records that the presets are tested with.

The records are made by the SDKs of the products, where there is one: install those that
`SOURCES` names, next to the packages of the worker. Sources without their SDK are left out.
"""

import importlib
import sys
from pathlib import Path

import orjson
import typer

FOLDER = Path(__file__).parents[1] / "unit" / "presets"
# modules, and what they need
SOURCES = {
    "openai_sdk": "openai",
    "anthropic_sdk": "anthropic",
    "google_sdk": "google-genai",
    "bedrock_sdk": "boto3",
    "otel_sdk": "opentelemetry-sdk, opentelemetry-exporter-otlp-proto-common",
    "litellm_sdk": "litellm",
    "langfuse_sdk": "langfuse<4",
    "by_hand": "nothing",
    "data_sets": "nothing",
}


def main(names: list[str]) -> None:
    for source in names or SOURCES:
        try:
            module = importlib.import_module(f"tests.tools.fixtures_made.{source}")
        except ImportError as error:
            typer.echo(f"{source}: left out ({error}); install {SOURCES[source]}")
            continue
        count = 0
        for fixture in module.fixtures():
            path = FOLDER / fixture.preset / f"{fixture.name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            held = {
                "made_with": fixture.made_with,
                "record": fixture.record,
                "expected": fixture.expected,
            }
            path.write_bytes(orjson.dumps(held, option=orjson.OPT_INDENT_2) + b"\n")
            count += 1
        typer.echo(f"{source}: {count} records")


if __name__ == "__main__":
    main(sys.argv[1:])
