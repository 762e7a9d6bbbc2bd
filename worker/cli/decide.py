"""`guardstream decide`: verdicts to decisions."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, TypeVar

import typer

from worker.cli import Config, app, read_settings
from worker.cli.lines import write_line
from worker.policy.shapes.names import ShapeName

if TYPE_CHECKING:
    from worker.domain.verdicts import Verdict
    from worker.policy.judged import Judged

Read = TypeVar("Read")

_STDIN = Path("-")
_SHAPE = "JSON of the decisions; docs/policy.md shows each."
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
    shape: Annotated[
        ShapeName | None,
        typer.Option("--shape", help=_SHAPE, show_default="guardstream"),
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
    makes the same decision of a verdict at any time; only `decided_at` differs. A shape other than
    `guardstream` needs verdicts with all their fields.
    """
    reading = _Reading(files or [_STDIN])
    if compare:
        if policy or shape:
            other = "--policy" if policy else "--shape"
            raise typer.BadParameter(f"give {other} or --compare")
        _compare(reading, compare, examples, json=json)
    else:
        _decide(reading, policy, config, shape)
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
        """What a policy sees of the verdicts; what is none is reported on stdout."""
        from worker.policy.judged import read_judged

        return self._read(read_judged)

    def whole_verdicts(self) -> Iterator[tuple["Judged", "Verdict"]]:
        """The same, each with the verdict itself."""
        return self._read(_read_whole)

    def _read(self, read: Callable[[Any], Read]) -> Iterator[Read]:
        import orjson

        from worker.policy.judged import NotAVerdict

        for path in self._files:
            for number, line in enumerate(_lines(path), start=1):
                try:
                    yield read(orjson.loads(line))
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


def _read_whole(document: Any) -> tuple["Judged", "Verdict"]:
    from worker.domain.verdict_records import read_verdict
    from worker.policy.judged import NotAVerdict, read_judged

    seen = read_judged(document)
    try:
        return seen, read_verdict(document)
    except ValueError:
        raise NotAVerdict("a shape needs all fields of schemas/verdict.schema.json") from None


def _decide(
    reading: _Reading, path: Path | None, config: Path | None, shape: ShapeName | None
) -> None:
    from worker.domain.decisions import encode_decision
    from worker.policy.policy import load_policy
    from worker.policy.shapes.choice import decision_shape

    is_shaped = shape not in (None, "guardstream")
    settings = read_settings(config) if is_shaped or path is None else None
    if path is None and settings and settings.policy.file:
        path = Path(settings.policy.file)
    policy, write = load_policy(path), sys.stdout.buffer.write
    made = None
    if shape and settings:
        made = decision_shape(shape, coop_item_type=settings.output.coop_item_type)
    if made is None:
        for verdict in reading.verdicts():
            write(encode_decision(policy.decide(verdict, time.time())) + b"\n")
    else:
        for seen, whole in reading.whole_verdicts():
            write(made.encode(policy.decide(seen, time.time()), whole) + b"\n")
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
