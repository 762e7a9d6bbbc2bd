"""The settings as a table, for the README."""

import json

from pydantic import BaseModel

from worker.runtime.settings.loading import Settings


def settings_table() -> str:
    """Every setting as rows of a Markdown table."""
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
