"""Texts made to be slow: derived from the patterns that meet untrusted text, and from formats.

A pattern is slow where it can go on after a prefix in many ways. So each prefix of each pattern
is followed by a long run of each character that the pattern knows, with and without an end that
fails, and is repeated itself.
"""

import gc
import importlib
import itertools
import re._constants as op
import re._parser as parser
import time
from pathlib import Path

from worker.domain.patterns import Pattern

ROOT = Path(__file__).parents[2]
BASE_CHARS = 6_000
_TRIES = 4
_CONFIRMATIONS = 3
MOST_GROWTH = 5.0
# no quadratic step over 24,000 characters is as quick
_QUICK_SECONDS = 0.004
# shorter times say little
_LEAST_SECONDS = 0.005


def patterns():
    """Every pattern of the package, by its module and name."""
    found = {}
    for path in sorted((ROOT / "worker").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if name == "worker.domain.patterns" or "Pattern(" not in path.read_text("utf-8"):
            continue
        for attribute, value in vars(importlib.import_module(name)).items():
            values = value.items() if isinstance(value, dict) else [("", value)]
            for key, one in values:
                if isinstance(one, Pattern):
                    found[f"{name}.{attribute}{key}"] = one
    return found


def _python_source(source):
    """The source as Python's parser reads it; only what matters here is kept of RE2's classes."""
    for theirs, ours in ((r"\p{Nd}", "0"), (r"\pN", "0"), (r"\pL", "a"), (r"\p{Z}", " ")):
        source = source.replace(theirs, ours)
    parts = source.split(r"\x{")
    return parts[0] + "".join(
        rf"\U{int(code, 16):08x}{rest}" for code, _, rest in (p.partition("}") for p in parts[1:])
    )


def _in_class(items):
    """Characters of a class; of a negated one, some that it has."""
    named = [
        chr(one) if kind is op.LITERAL else chr(one[0])
        for kind, one in items
        if kind in {op.LITERAL, op.RANGE}
    ]
    if items[0][0] is op.NEGATE:
        return [one for one in "a <" if one not in named] or ["z"]
    return named or ["1"]


def _prefixes(tree):
    """What a pattern can have read at each of its places, a sample each; the last are matches."""
    reached = [""]
    every = [""]
    for kind, value in tree:
        if kind is op.LITERAL:
            more = [chr(value)]
        elif kind is op.NOT_LITERAL:
            more = ["a"]
        elif kind is op.IN:
            more = _in_class(value)[:2]
        elif kind in {op.MAX_REPEAT, op.MIN_REPEAT}:
            least, _, inner = value
            inside, ends = _prefixes(inner)
            every += [r + i for r in reached for i in inside]
            more = ([""] if least == 0 else []) + [end * max(least, 1) for end in ends]
        elif kind in {op.SUBPATTERN, op.BRANCH}:
            branches = [value[-1]] if kind is op.SUBPATTERN else value[1]
            both = [_prefixes(branch) for branch in branches]
            every += [r + i for r in reached[:2] for inside, _ in both for i in inside]
            more = [end for _, ends in both for end in ends]
        else:
            continue
        reached = [r + m for r, m in itertools.product(reached[:4], more)]
        every += reached
    return list(dict.fromkeys(every)), list(dict.fromkeys(reached))


def _alphabet(tree):
    found = []
    for kind, value in tree:
        if kind is op.IN:
            found += _in_class(value)
        elif kind in {op.MAX_REPEAT, op.MIN_REPEAT}:
            found += _alphabet(value[2])
        elif kind is op.SUBPATTERN:
            found += _alphabet(value[-1])
        elif kind is op.BRANCH:
            found += [one for branch in value[1] for one in _alphabet(branch)]
    return found


def texts(pattern, most_prefixes=10_000):
    """Makers of hostile texts of about a length, by what they are made of."""
    tree = parser.parse(_python_source(pattern.source))
    prefixes = _prefixes(tree)[0]
    step = max(len(prefixes) // most_prefixes, 1)
    runs = dict.fromkeys([*_alphabet(tree), " ", "\n", "x"])
    for prefix in prefixes[::step]:
        for run in runs:
            for tail in ("x", "\x00"):
                yield repr((prefix, run, tail)), lambda n, p=prefix, r=run, t=tail: p + r * n + t
        if prefix:
            yield repr(prefix), lambda n, p=prefix: p * (n // len(p))
            yield repr(prefix) + " a line", lambda n, p=prefix: f"{p}\n" * (n // (len(p) + 1))


def seconds(call, argument):
    """CPU time of a call, without the collector's visits to all that the tests hold."""
    gc.disable()
    began = time.process_time()
    call(argument)
    taken = time.process_time() - began
    gc.enable()
    return taken


def growth(call, make, base=BASE_CHARS, most_growth=MOST_GROWTH):
    """How much more CPU a text four times as long takes; 1 where both take next to none."""
    taken: dict[int, float] = {}

    def measured(length):
        if length not in taken:
            taken[length] = seconds(call, make(length))
        return taken[length]

    if measured(4 * base) < _QUICK_SECONDS:
        return 1.0
    largest = base * 32
    while base < largest and measured(base) < _LEAST_SECONDS:
        base *= 2
    found = []
    # caches and other programs disturb one length; what is quadratic is so at each, and more
    for longer in (base, 2 * base, 4 * base):
        least = [measured(longer), measured(4 * longer)]
        for _ in range(_TRIES - 1):
            if least[1] <= most_growth * least[0]:
                return least[1] / least[0]
            again = [seconds(call, make(length)) for length in (longer, 4 * longer)]
            least = list(map(min, least, again))
        found.append(least[1] / least[0])
        if found[-1] > 2 * most_growth:
            break  # no noise
    return min(found)


def slow(call, makers, base=BASE_CHARS, most_growth=MOST_GROWTH):
    """The texts of which four times the length takes more than five times the CPU.

    Other programs slow long texts more than short ones, for seconds; what looks slow is measured
    again after all others.
    """
    found = list(makers)
    grown = {}
    for _ in range(1 + _CONFIRMATIONS):
        grown = {
            name: round(by, 1)
            for name, make in found
            if (by := growth(call, make, base, most_growth)) > most_growth
        }
        found = [(name, make) for name, make in found if name in grown]
    return grown
