"""`python -m monitoring`: regenerate the dashboard, the rules and the table of metrics."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from monitoring import dashboard, reference, rules

FOLDER = Path(__file__).parent
OPERATIONS = FOLDER.parent / "docs" / "operations.md"
# the project has no web site yet
DOCS = "docs/operations.md"


class _Dumper(yaml.SafeDumper):
    """Writes multi-line expressions as block scalars."""

    def ignore_aliases(self, _: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def documents(docs: str = DOCS) -> dict[str, str]:
    """The generated files of this folder, by name."""
    head = "# Made by `make monitoring` from monitoring/rules.py.\n"
    rule_file = yaml.dump(rules.build(docs), Dumper=_Dumper, sort_keys=False, width=1000)
    return {
        "grafana-dashboard.json": json.dumps(dashboard.build(docs), indent=2) + "\n",
        "prometheus-rules.yaml": head + rule_file,
    }


def main(
    docs: Annotated[str, typer.Option(help="URL of docs/operations.md, for links.")] = DOCS,
) -> None:
    """Regenerate the dashboard, the rules and the table of metrics."""
    for name, text in documents(docs).items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    page = OPERATIONS.read_text(encoding="utf-8")
    OPERATIONS.write_text(reference.renewed(page), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
