"""`guardstream policy`: checks, tests and explains a policy."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from worker.cli import app
from worker.cli.lines import BadLine, read_lines, write_line

policy_app = typer.Typer(
    name="policy", no_args_is_help=True, help="Check, test and explain a policy."
)
app.add_typer(policy_app)

_File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="YAML file of a policy.")]
_Json = Annotated[bool, typer.Option("--json", help="JSON Lines, for programs.")]


@policy_app.command()
def lint(file: _File, json: _Json = False) -> None:
    """List all faults of a policy, and what is probably a mistake.

    Exit code 1 if there is a fault: the policy cannot be used. A warning is no fault.
    """
    from worker.policy.file import InvalidPolicy
    from worker.policy.lint import warnings
    from worker.policy.policy import load_policy

    try:
        policy = load_policy(file)
    except InvalidPolicy as error:
        for fault in error.faults:
            _found("fault", fault, json=json)
        raise typer.Exit(1) from None
    found = warnings(policy, datetime.now(UTC).date())
    for warning in found:
        _found("warning", warning, json=json)
    if not found and not json:
        count = len(policy.file.rules)
        typer.echo(f"{count} {'rule' if count == 1 else 'rules'}, no faults")


def _found(kind: str, text: str, *, json: bool) -> None:
    if json:
        write_line({"kind": kind, "text": text})
    else:
        typer.echo(f"{kind}: {text}")


@policy_app.command("test")
def run_cases(
    file: _File,
    cases: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="YAML file of cases.")],
    json: _Json = False,
) -> None:
    """Decide on the cases of a file, and compare with what they expect.

    A case is `{"name", "verdict", "action", "rules"?, "errors"?}`. Exit code 1 if one differs.
    """
    from worker.domain.escaping import printable
    from worker.operator.policies.cases import check_case, read_cases
    from worker.policy.policy import load_policy

    policy, now = load_policy(file), time.time()
    checked = [check_case(policy, case, now) for case in read_cases(cases)]
    differing = [one for one in checked if one.differences]
    for one in checked if json else differing:
        if json:
            write_line({"name": one.name, "differences": one.differences})
        else:
            typer.echo(printable(f"{one.name}: {'; '.join(one.differences)}"))
    if not json:
        count = len(checked)
        typer.echo(f"{count} {'case' if count == 1 else 'cases'}, {len(differing)} differ")
    if differing:
        raise typer.Exit(1)


@policy_app.command()
def explain(
    file: Annotated[
        Path | None,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="YAML file of a policy; the starter policy if unset.",
            show_default=False,
        ),
    ] = None,
    all_rules: Annotated[
        bool, typer.Option("--all", help="Show rules that are false or not applied too.")
    ] = False,
    json: _Json = False,
) -> None:
    """Verdicts as JSON Lines on stdin: which rules are true, and the values of each comparison."""
    import orjson

    from worker.cli.views.policies import show_explanation
    from worker.policy.explaining import Explainer
    from worker.policy.judged import NotAVerdict, read_judged
    from worker.policy.policy import load_policy

    policy = load_policy(file)
    explainer = Explainer(policy)
    for number, line in read_lines():
        try:
            verdict = read_judged(orjson.loads(line))
        except orjson.JSONDecodeError:
            raise BadLine(f"Line {number}: not JSON.") from None
        except NotAVerdict as error:
            raise BadLine(f"Line {number}: not a verdict: {error}.") from None
        decision = policy.decide(verdict, time.time())
        shown = [
            one
            for one in explainer.explain(verdict)
            if all_rules or one.outcome in {"true", "error"}
        ]
        if json:
            write_line({"decision": decision, "rules": shown})
        else:
            show_explanation(decision, shown)
