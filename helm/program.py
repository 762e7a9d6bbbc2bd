"""The helm binary, built once with Go and cached for the user."""

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
    """Helm is not available."""


def find() -> Path | None:
    """The cached helm, if there is one."""
    kept = _folder() / "helm"
    return kept if kept.is_file() else None


def obtain(progress: Callable[[str], None]) -> Path:
    """The cached helm, built if it is missing.

    Raises:
        NoHelm: there is no Go, or it could not build helm.
    """
    if found := find():
        return found
    go = shutil.which("go")
    if go is None:
        raise NoHelm("Go is required to build helm; install Go 1.26 or newer.")
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
    """Build in a temporary folder, then rename it in one step."""
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
