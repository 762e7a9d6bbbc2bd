"""The committed counts, and the comparison of new ones with them.

Counts hold for one version of Python on one architecture. A build of it with other options makes
others too: the operation `interpreter`, which nothing in the repository can change, shows that.
"""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.micro.operations import INTERPRETER

PATH = Path(__file__).with_name("baseline.json")
# code that is chosen by the processor's features (copying, hashing) differs by some percent
MAX_GROWTH = 0.20
_SAME_BUILD = 0.03


@dataclass(frozen=True)
class Baseline:
    """Instructions per event of each operation, and where they hold."""

    python: str
    machine: str
    instructions: dict[str, int]

    @classmethod
    def of_here(cls, instructions: Mapping[str, int]) -> "Baseline":
        """Counts that were made on this machine."""
        python = ".".join(platform.python_version_tuple()[:2])
        return cls(python, platform.machine(), dict(instructions))

    @classmethod
    def load(cls, path: Path = PATH) -> "Baseline":
        """The committed baseline."""
        return cls(**json.loads(path.read_text()))

    def save(self, path: Path = PATH) -> None:
        """Put it into the repository."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    def stranger(self, here: "Baseline") -> str | None:
        """Why counts made here cannot be held against it; None if they can."""
        if (self.python, self.machine) != (here.python, here.machine):
            return (
                f"The baseline holds for Python {self.python} on {self.machine}, and this is"
                f" Python {here.python} on {here.machine}."
            )
        was, now = self.instructions[INTERPRETER], here.instructions.get(INTERPRETER, 0)
        if abs(now / was - 1) > _SAME_BUILD:
            return (
                f"This Python {here.python} was built with other options than the baseline's: the"
                f" same work takes it {now / was:.2f} times the instructions."
            )
        return None

    def growth(self, here: "Baseline") -> dict[str, float]:
        """By how much each operation has grown, 0.2 for a fifth; those that both know."""
        return {
            name: here.instructions[name] / was - 1
            for name, was in self.instructions.items()
            if name in here.instructions and name != INTERPRETER
        }

    def unknown(self, here: "Baseline") -> list[str]:
        """Operations that only one of the two knows."""
        return sorted(self.instructions.keys() ^ here.instructions.keys())
