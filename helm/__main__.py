"""`python -m helm`: regenerate the chart's files, or check the chart."""

import sys

import typer

from helm import documents

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command()
def build() -> None:
    """Regenerate the chart's files, and the table of settings in the project's README."""
    readme = documents.ROOT / "README.md"
    page = documents.with_settings(readme.read_text(encoding="utf-8"))
    readme.write_text(page, encoding="utf-8")
    for name, text in documents.documents().items():
        (documents.CHART / name).write_text(text, encoding="utf-8")


@app.command()
def check() -> None:
    """Lint the chart, and validate it with every values file against Kubernetes' schemas."""
    from helm import program, validation  # noqa: PLC0415 - needs a package that only checks need

    try:
        helm = program.obtain(_say)
    except program.NoHelm as error:
        print(error, file=sys.stderr)  # noqa: T201 - a program that prints
        raise typer.Exit(1) from None
    faults = list(validation.faults(helm, _say))
    for fault in faults:
        print(fault, file=sys.stderr)  # noqa: T201 - a program that prints
    if faults:
        raise typer.Exit(1)


def _say(what: str) -> None:
    print(what, flush=True)  # noqa: T201 - a program that prints


if __name__ == "__main__":
    app()
