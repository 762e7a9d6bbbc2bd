"""An archive in pieces that are small enough to be sent one at a time. Standard library only."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

MANIFEST = "manifest.json"
_BLOCK = 1 << 20


class PieceError(Exception):
    """The pieces and their manifest do not belong together."""


@dataclass(frozen=True)
class Piece:
    """One file of an archive, by the SHA-256 of its bytes."""

    name: str
    size: int
    sha256: str


def split(archive: Path, folder: Path, most_bytes: int) -> list[Piece]:
    """Cut an archive into pieces of at most `most_bytes`, with a manifest next to them."""
    if most_bytes < 1:
        raise ValueError("a piece must have at least one byte")
    folder.mkdir(parents=True, exist_ok=True)
    pieces = []
    with archive.open("rb") as whole:
        for name, size, sha256 in _cut(whole, folder, most_bytes):
            pieces.append(Piece(name, size, sha256))
    manifest = {"pieces": [asdict(piece) for piece in pieces]}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    return pieces


def _cut(whole: BinaryIO, folder: Path, most_bytes: int) -> Iterator[tuple[str, int, str]]:
    number = 0
    while first := whole.read(min(_BLOCK, most_bytes)):
        name, size, digest = f"piece-{number:03}", len(first), hashlib.sha256(first)
        with (folder / name).open("wb") as piece:
            piece.write(first)
            while size < most_bytes and (block := whole.read(min(_BLOCK, most_bytes - size))):
                piece.write(block)
                digest.update(block)
                size += len(block)
        yield name, size, digest.hexdigest()
        number += 1


def read_manifest(folder: Path) -> list[Piece]:
    """The pieces that an archive has.

    Raises:
        PieceError: there is no manifest, or it cannot be read.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        pieces = [Piece(**piece) for piece in manifest["pieces"]]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise PieceError(f"{folder / MANIFEST} cannot be read: send it again.") from error
    for piece in pieces:
        if Path(piece.name).name != piece.name or not piece.name.startswith("piece-"):
            raise PieceError(f"{folder / MANIFEST} names {piece.name!r}, which is no piece.")
    return pieces


def missing(folder: Path, pieces: list[Piece]) -> list[Piece]:
    """The pieces that are not in the folder yet.

    Raises:
        PieceError: one has other bytes than the manifest says; it is removed.
    """
    absent = []
    for piece in pieces:
        path = folder / piece.name
        if not path.is_file():
            absent.append(piece)
        elif _sha256(path) != piece.sha256:
            path.unlink()
            raise PieceError(f"{path} has other bytes than {MANIFEST} says: send it again.")
    return absent


def join(folder: Path, pieces: list[Piece], archive: Path) -> None:
    """Put the pieces together to the archive again."""
    unfinished = archive.with_suffix(".part")
    with unfinished.open("wb") as whole:
        for piece in pieces:
            with (folder / piece.name).open("rb") as part:
                while block := part.read(_BLOCK):
                    whole.write(block)
    unfinished.replace(archive)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
