"""On the bare machine: check the pieces that are there, join them, install what they contain.

`python3 -m benchmarks.gpu.unpack [FOLDER]`. Each call goes as far as the pieces allow, and repeats
no step. Standard library and pip only.
"""

import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

from benchmarks.gpu.pieces import PieceError, join, missing, read_manifest

FOLDER = Path("build/gpu")
PIECES, ARCHIVE, CARGO, SITE = "pieces", "cargo.tar", "cargo", "site"
_DONE = ".installed"
_ROOT = Path(__file__).parents[2]


def unpack(folder: Path) -> str:
    """Go as far as possible, and return a line that says how far.

    Raises:
        PieceError: a piece or the manifest is damaged.
        CalledProcessError: pip cannot install the wheels.
    """
    pieces = read_manifest(folder / PIECES)
    installed = folder / SITE / _DONE
    if installed.exists() and installed.read_text() == _names(folder):
        return f"{folder / SITE} is installed already."
    if absent := missing(folder / PIECES, pieces):
        names = ", ".join(piece.name for piece in absent)
        return f"{len(pieces) - len(absent)} of {len(pieces)} pieces are here; not yet: {names}."
    archive = folder / ARCHIVE
    join(folder / PIECES, pieces, archive)
    with tarfile.open(archive) as cargo:
        cargo.extractall(folder / CARGO, filter="data")
    archive.unlink()
    wheels = sorted((folder / CARGO).glob("*.whl"))
    (folder / SITE).mkdir(exist_ok=True)
    _install(wheels, folder / SITE)
    _describe_this_program(folder / SITE)
    installed.write_text(_names(folder))
    return f"{len(wheels)} wheels are installed in {folder / SITE}."


def _names(folder: Path) -> str:
    """What was installed: it is installed again when other pieces arrive."""
    return "\n".join(piece.sha256 for piece in read_manifest(folder / PIECES))


def _install(wheels: list[Path], site: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    apart = ["--no-index", "--no-deps", "--no-compile", "--no-cache-dir", "--upgrade"]
    subprocess.run([*pip, *apart, "--target", str(site), *map(str, wheels)], check=True)  # noqa: S603


def _describe_this_program(site: Path) -> None:
    """The metadata of guardstream, which runs from the repository: it asks for its own version."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    described = site / f"{project['name']}-{project['version']}.dist-info"
    described.mkdir(exist_ok=True)
    (described / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )


if __name__ == "__main__":
    try:
        print(unpack(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER), flush=True)
    except (PieceError, subprocess.CalledProcessError) as reason:
        raise SystemExit(f"gpu: {reason}") from reason
