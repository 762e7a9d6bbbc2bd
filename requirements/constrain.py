"""Keeps the packages of a base image as they are when guardstream is installed on top.

`constrain.py LOCK` prints constraints for pip: for each package that is installed its version, and
for each that is not the one of the lock file. `constrain.py --unchanged VENV` fails if the venv has
a package of its own that its base has too.
"""

import re
import sys
from importlib.metadata import distributions
from pathlib import Path

# as packaging.version knows them; distribution packages of a system may have others
_VERSION = re.compile(r"\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?(\.dev\d+)?(\+[a-z0-9.]+)?")
# with its marker: a lock for several Pythons can pin a package twice
_PIN = re.compile(r"^([a-z0-9._-]+)(==[^\\\n]+)", re.IGNORECASE | re.MULTILINE)
# these are the venv's own from the start
_SEED = {"pip", "setuptools", "wheel"}


def normal(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def constraints(lock: str) -> list[str]:
    """The constraints for pip, one package per line."""
    here = {normal(found.name): found.version for found in distributions()}
    kept = {name: version for name, version in here.items() if _VERSION.fullmatch(version)}
    locked = ((normal(name), pin.strip()) for name, pin in _PIN.findall(lock))
    return sorted(
        [f"{name}=={version}" for name, version in kept.items()]
        + [f"{name}{pin}" for name, pin in locked if name not in kept]
    )


def replaced(venv: Path) -> list[str]:
    """Packages of the venv that shadow those of the base."""
    own, base = set(), set()
    for found in distributions():
        inside = venv in Path(str(found.locate_file(""))).resolve().parents
        (own if inside else base).add(normal(found.name))
    return sorted((own & base) - _SEED)


def main() -> None:
    """See the module."""
    if sys.argv[1] == "--unchanged":
        if names := replaced(Path(sys.argv[2])):
            sys.exit(f"These packages of the base were replaced: {', '.join(names)}")
    else:
        sys.stdout.write("\n".join(constraints(Path(sys.argv[1]).read_text("utf-8"))) + "\n")


if __name__ == "__main__":
    main()
