"""`guardstream decide`: verdicts to decisions."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from worker.cli import Config, app, read_settings
from worker.cli.lines import write_line

if TYPE_CHECKING:
    from worker.policy.judged import Judged

_STDIN = Path("-")
_POLICY = "YAML file of a policy; else `policy.file` of the settings, else the starter policy."


@app.command()
def decide(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            exists=True,
            dir_okay=False,
            allow_dash=True,
            help="Verdicts as JSON Lines; stdin if none is given.",
            show_default=False,
        ),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option("--policy", exists=True, dir_okay=False, help=_POLICY, show_default=False),
    ] = None,
    config: Config = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            "--compare",
            metavar="OLD NEW",
            exists=True,
            dir_okay=False,
            help="Instead of decisions, show what a change of a policy changes.",
            show_default=False,
        ),
    ] = None,
    examples: Annotated[
        int, typer.Option(min=0, help="With --compare: verdicts shown for each change of action.")
    ] = 3,
    json: Annotated[bool, typer.Option("--json", help="With --compare: print JSON.")] = False,
) -> None:
    """Verdicts as JSON Lines to one decision line each, by a policy.

    A line that is no verdict gives `{"line", "error"}`, and exit code 1 at the end. The same policy
    makes the same decision of a verdict at any time; only `decided_at` differs.
    """
    reading = _Reading(files or [_STDIN])
    if compare:
        if policy:
            raise typer.BadParameter("give --policy or --compare")
        _compare(reading, compare, examples, json=json)
    else:
        held = None if policy else read_settings(config).policy.file
        _decide(reading, Path(held) if held else policy)
    if reading.failed:
        raise typer.Exit(1)


class _Reading:
    """The verdicts of files, and whether a line was none.

    Args:
        files: `-` is stdin.
    """

    def __init__(self, files: list[Path]) -> None:
        self._files = files
        self.failed = False

    def verdicts(self) -> Iterator["Judged"]:
        """The verdicts; what is none is reported on stdout."""
        import orjson

        from worker.policy.judged import NotAVerdict, read_judged

        for path in self._files:
            for number, line in enumerate(_lines(path), start=1):
                try:
                    yield read_judged(orjson.loads(line))
                except orjson.JSONDecodeError:
                    if line.strip():
                        self._report(path, number, "not JSON")
                except NotAVerdict as error:
                    self._report(path, number, str(error))

    def _report(self, path: Path, number: int, fault: str) -> None:
        self.failed = True
        where = {"file": str(path)} if len(self._files) > 1 else {}
        write_line({**where, "line": number, "error": f"Not a verdict: {fault}."})


def _lines(path: Path) -> Iterator[bytes]:
    from worker.domain.errors import UnusableFile

    if path == _STDIN:
        yield from _flushed(sys.stdin.buffer)
        return
    try:
        with path.open("rb") as lines:
            yield from lines
    except OSError as error:
        raise UnusableFile(f"{path} cannot be read: {error.strerror}.") from None


def _flushed(lines: BinaryIO) -> Iterator[bytes]:
    # a program that follows a topic sees each decision before the next verdict arrives
    for line in lines:
        yield line
        sys.stdout.buffer.flush()


def _decide(reading: _Reading, path: Path | None) -> None:
    from worker.domain.decisions import encode_decision
    from worker.policy.policy import load_policy

    policy, write = load_policy(path), sys.stdout.buffer.write
    for verdict in reading.verdicts():
        write(encode_decision(policy.decide(verdict, time.time())) + b"\n")
    sys.stdout.buffer.flush()


def _compare(reading: _Reading, paths: tuple[Path, Path], examples: int, *, json: bool) -> None:
    from worker.cli.views.policies import comparison_document, show_comparison
    from worker.operator.policies.comparing import Comparing
    from worker.policy.policy import load_policy

    old, new = (load_policy(path) for path in paths)
    comparing = Comparing(old, new, examples)
    for verdict in reading.verdicts():
        comparing.add(verdict)
    if json:
        write_line(comparison_document(comparing.found))
    else:
        show_comparison(comparing.found)
