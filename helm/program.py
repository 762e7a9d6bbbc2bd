"""The program helm: built once by Go, and kept in the user's cache."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from worker.demo.kafka.distribution import cache_folder
from worker.domain.errors import GuardstreamError

VERSION = "v3.22.0"


class NoHelm(GuardstreamError):  # noqa: N818 - it says what happened
    """Helm cannot be had."""


def find() -> Path | None:
    """Helm in the cache, if it is there."""
    kept = _folder() / "helm"
    return kept if kept.is_file() else None


def obtain(progress: Callable[[str], None]) -> Path:
    """Helm from the cache, built first if it is not there.

    Raises:
        NoHelm: there is no Go, or it could not build helm.
    """
    if found := find():
        return found
    go = shutil.which("go")
    if go is None:
        raise NoHelm("Helm is built with Go, which is not here; install Go 1.26 or newer.")
    folder = _folder()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if found := find():  # another process built it meanwhile
            return found
        progress(f"Building helm {VERSION} with Go (about two minutes, once) into {folder}")
        _build(go, folder)
    return folder / "helm"


def _folder() -> Path:
    return cache_folder() / f"helm-{VERSION}"


def _build(go: str, folder: Path) -> None:
    """Build beside the folder, then move the result to its name in one step."""
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}.partial-", dir=folder.parent) as name:
        partial = Path(name) / "built"
        ran = subprocess.run(  # noqa: S603 - Go, by its path
            [go, "install", f"helm.sh/helm/v3/cmd/helm@{VERSION}"],
            env=os.environ | {"GOBIN": str(partial)},
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode != 0:
            raise NoHelm(f"Go could not build helm: {ran.stderr.strip().rpartition(chr(10))[2]}")
        partial.rename(folder)
