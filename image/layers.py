"""Prints the layers of an image in buildah's storage, and their sizes: `layers.py STORAGE NAME`."""

import json
import sys
from pathlib import Path


def layers(storage: Path, name: str) -> list[tuple[str, int]]:
    """Each layer's id and size in bytes, the base first."""
    images = json.loads((storage / "vfs-images" / "images.json").read_text("utf-8"))
    known = json.loads((storage / "vfs-layers" / "layers.json").read_text("utf-8"))
    by_id = {layer["id"]: layer for layer in known}
    image = next(i for i in images if any(n.startswith(name) for n in i.get("names") or ()))
    found, at = [], image["layer"]
    while at:
        found.append((at[:12], by_id[at].get("diff-size", 0)))
        at = by_id[at].get("parent")
    return found[::-1]


def main() -> None:
    """See the module."""
    found = layers(Path(sys.argv[1]), sys.argv[2])
    for layer, size in found:
        sys.stdout.write(f"  {layer} {size / 1e6:9,.0f} MB\n")
    total = sum(size for _, size in found)
    sys.stdout.write(f"  {len(found)} layers {total / 1e6:9,.0f} MB, not compressed\n")


if __name__ == "__main__":
    main()
