"""What verdicts depend on: a file of verdicts is continued only with the same."""

import hashlib
from pathlib import Path

import orjson

from worker.domain.verdicts import GuardReference
from worker.operator.offline.inputs import fingerprint, printable_name
from worker.runtime.settings import Settings


def made_by(
    path: Path, raw: str | None, guard: GuardReference, settings: Settings
) -> dict[str, str | None]:
    """The input, the guard and the settings, by the names that users know.

    Raises:
        OSError: the input cannot be read.
    """
    chosen = settings.input
    options = settings.guard.model_dump(mode="json", exclude={"name"})
    return {
        "input": f"{printable_name(path)}, {path.stat().st_size} bytes",
        "content of the input": fingerprint(path),
        "--value-column": raw,
        "guard": guard.name,
        "model": guard.model,
        "revision": guard.revision,
        "prompt": guard.prompt_sha256,
        "calibration": guard.calibration_sha256,
        "engine.kind": settings.engine.kind,
        "engine.max_tokens": str(settings.engine.max_tokens),
        "guard options": orjson.dumps(options).decode(),
        "input.mapping": _mapping(chosen.mapping),
        "input.framing": chosen.framing,
        "input.judge": chosen.judge,
        "input.keep": chosen.keep,
        "input.sample": str(chosen.sample),
        "output.reasoning": settings.output.reasoning,
    }


def _mapping(chosen: str) -> str:
    """The name of a mapping, with a checksum where it is a file."""
    path = Path(chosen)
    if not path.is_file():
        return chosen
    return f"{chosen} (sha256 {hashlib.sha256(path.read_bytes()).hexdigest()[:12]})"
