"""The settings as a table, for the README."""

import json

from worker.runtime.settings.model import settings_list


def settings_table() -> str:
    """Every setting as rows of a Markdown table."""
    rows = ["| setting | default | |", "|---|---|---|"]
    for setting in settings_list():
        shown = "" if setting.default is None else f"`{json.dumps(setting.default)}`"
        rows.append(f"| `{setting.name}` | {shown} | {setting.field.description or ''} |")
    return "\n".join(rows)
