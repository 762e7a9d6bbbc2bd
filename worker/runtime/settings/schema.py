"""JSON Schema of the settings file."""

from typing import Any

from worker.runtime.settings.model import Settings


def settings_schema() -> dict[str, Any]:
    """The schema of the file; a group without a key is allowed, as when loading it."""
    schema = Settings.model_json_schema()
    for group in (schema, *schema["$defs"].values()):
        for name, described in group["properties"].items():
            if reference := described.get("$ref"):
                about = schema["$defs"][reference.rpartition("/")[2]]["description"]
                group["properties"][name] = {
                    "description": about,
                    "anyOf": [{"$ref": reference}, {"type": "null"}],
                }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Guardstream settings",
    }
