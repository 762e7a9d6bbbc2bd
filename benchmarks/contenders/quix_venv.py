"""A separate venv for Quix Streams, which needs an older pydantic than Guardstream's lock.

It is made once of `requirements/bench-quix.txt`, in the cache folder; a changed lock makes another.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.contenders.contract import Unprepared
from worker.demo.kafka.distribution import cache_folder

_ROOT = Path(__file__).parents[2]
_LOCK = _ROOT / "requirements" / "bench-quix.txt"
_FOLDER = cache_folder() / f"quix-{hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:12]}"
PYTHON = _FOLDER / "bin" / "python"


def prepare() -> None:
    """Make it, unless it is there.

    Raises:
        Unprepared: its packages are not available.
    """
    made = _FOLDER / "made"
    if made.exists():
        return
    shutil.rmtree(_FOLDER, ignore_errors=True)
    uv = [sys.executable, "-m", "uv"]
    install = ["pip", "install", "--python", str(PYTHON), "--no-deps"]
    for arguments in (
        ["venv", "--python", sys.executable, str(_FOLDER)],
        [*install, "--require-hashes", "-r", str(_LOCK)],
        [*install, "-e", str(_ROOT)],
    ):
        done = subprocess.run([*uv, *arguments], capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            why = (done.stderr.strip().splitlines() or ["uv printed nothing"])[-1].strip()
            raise Unprepared(f"The venv of Quix Streams cannot be created ({why}); run it again.")
    made.touch()
