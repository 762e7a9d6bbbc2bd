"""A rendered conversation without its contents: where each belongs, and how it is trimmed there.

The template is rendered with probes in place of the contents, never with the contents themselves.
Two kinds of probes, of other characters and another length, must give the same text around them:
so a template that cuts, escapes, repeats a part of a content or counts its characters is noticed.
Further probes have white space around them, and show which of it the template removes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from worker.adapters.chat_files import AddedToken
from worker.domain.prompts import Control, Prompt, split_at_controls

Render = Callable[[Sequence[str]], str]

# with what a template could escape, replace or split at
_PROBES = (
    (
        '"Kq',
        " aZ \\ / & < > {{ x }} {% y %} [#*_-] \u00e9 \u4e2d \U0001f600\r\n\n\n  Two.\t\"t\" 'f'",
    ),
    ("`Wv", "Mixed <|x|> 'Case'\n" * 40 + 'end"'),
)
_COMMON_SPACES = " \n\t\r\u3000"
_OTHER_SPACES = (
    "\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008"
    "\u2009\u200a\u2028\u2029\u202f\u205f"
)
# the white space next to a token that strips, as the library `tokenizers` defines it
_TOKEN_SPACES = "".join(set(_COMMON_SPACES + _OTHER_SPACES) - set("\x1c\x1d\x1e\x1f"))
_SHORTEST_OPENING = 64


class AlteredError(Exception):
    """The template alters or drops the text of a message, by its index."""

    def __init__(self, message: int) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Slot:
    """Where the text of a message belongs; what is removed at its ends, None for white space."""

    message: int
    left: str | None
    right: str | None

    def fill(self, texts: Sequence[str]) -> str:
        """The text as the template writes it here."""
        return texts[self.message].lstrip(self.left).rstrip(self.right)


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Control tokens, and between them text and slots.

    Attributes:
        strips: of the control tokens that remove white space next to them, on which sides.
    """

    runs: tuple[Control | tuple[str | Slot, ...], ...]
    strips: Mapping[str, tuple[bool, bool]]
    opening: str

    def filled(self, texts: Sequence[str]) -> Prompt:
        """The prompt with these texts."""
        runs: list[str | Control] = []
        for run in self.runs:
            if isinstance(run, Control):
                runs.append(run)
            elif text := "".join(
                piece if isinstance(piece, str) else piece.fill(texts) for piece in run
            ):
                runs.append(text)
        if self.strips:
            runs = list(self._stripped(runs))
        return Prompt(tuple(runs), self.opening)

    def _stripped(self, runs: Sequence[str | Control]) -> Iterator[str | Control]:
        nothing = (False, False)
        sides = [self.strips.get(run.name, nothing) if isinstance(run, Control) else nothing
                 for run in runs]  # fmt: skip
        for at, run in enumerate(runs):
            if isinstance(run, Control):
                yield run
                continue
            text = run
            if at and sides[at - 1][1]:
                text = text.lstrip(_TOKEN_SPACES)
            if at + 1 < len(runs) and sides[at + 1][0]:
                text = text.rstrip(_TOKEN_SPACES)
            if text:
                yield text


def make_skeleton(
    render: Render, empty: Sequence[bool], controls: Mapping[str, AddedToken]
) -> Skeleton:
    """Find out where a template puts the texts of messages, and what it does to them.

    Args:
        render: renders a conversation of given texts.
        empty: which texts are empty: a template may leave such a message out.
        controls: the model's control tokens, by name.

    Raises:
        AlteredError: the template does something to a text that cannot be repeated.
    """
    if not empty:
        return _split([render([])], controls)
    probes = [_Probe(render, empty, head, body) for head, body in _PROBES]
    texts, order = probes[0].rendered("", "")
    missing = {at for at, is_empty in enumerate(empty) if not is_empty} - set(order)
    if missing:
        raise AlteredError(min(missing))
    others, other_order = probes[1].rendered("", "")
    if order != other_order or texts != others:
        raise AlteredError(_first_difference(order, texts, others))
    slots = _slots(probes[0], texts, order)
    pieces: list[str | Slot] = []
    for text, slot in zip(texts, [*slots, None], strict=True):
        pieces += [text] if slot is None else [text, slot]
    return _split(pieces, controls)


class _Probe:
    """Renders a conversation of which all texts are probes of one kind."""

    def __init__(self, render: Render, empty: Sequence[bool], head: str, body: str) -> None:
        self._render = render
        self._empty = empty
        self._head = head
        self._body = body

    def rendered(self, before: str, after: str) -> tuple[list[str], list[int]]:
        """The texts around the probes, one more than these, and the messages in their order."""
        contents = [
            "" if is_empty else f"{before}{self._head}{at};{self._body}{after}"
            for at, is_empty in enumerate(self._empty)
        ]
        first, *parts = self._render(contents).split(self._head)
        texts, order = [first], []
        for part in parts:
            number, _, rest = part.partition(";")
            known = number.isascii() and number.isdigit() and len(number) < 9
            if not known or int(number) >= len(contents) or not rest.startswith(self._body):
                at = int(number) if known and int(number) < len(contents) else 0
                raise AlteredError(at)
            order.append(int(number))
            texts.append(rest.removeprefix(self._body))
        return texts, order


def _first_difference(order: Sequence[int], texts: Sequence[str], others: Sequence[str]) -> int:
    differing = [at for at, pair in enumerate(zip(texts, others, strict=False)) if len({*pair}) > 1]
    at = max(0, min(differing, default=0) - 1)
    return order[at] if at < len(order) else 0


def _slots(probe: _Probe, texts: Sequence[str], order: Sequence[int]) -> list[Slot]:
    count = len(order)
    removed: list[tuple[set[str], set[str]]] = [(set(), set()) for _ in order]

    def try_out(spaces: str) -> None:
        for before, after in zip(spaces, spaces[1:] + spaces[:1], strict=True):
            found, its_order = probe.rendered(before, after)
            if list(order) != its_order:
                raise AlteredError(order[0] if order else 0)
            for at, (text, seen) in enumerate(zip(texts, found, strict=True)):
                ends = after if at else ""
                begins = before if at < count else ""
                if seen not in {text, ends + text, text + begins, ends + text + begins}:
                    raise AlteredError(order[max(0, at - 1)])
                both = len(seen) == len(text) + len(ends) + len(begins)
                if at and not both and seen != ends + text:
                    removed[at - 1][1].add(after)
                if at < count and not both and seen != text + begins:
                    removed[at][0].add(before)

    try_out(_COMMON_SPACES)
    everything = set(_COMMON_SPACES)
    if any(0 < len(side) < len(everything) for slot in removed for side in slot):
        try_out(_OTHER_SPACES)

    def told(side: set[str]) -> str | None:
        return None if side >= everything else "".join(sorted(side))

    return [
        Slot(message, told(left), told(right))
        for message, (left, right) in zip(order, removed, strict=True)
    ]


def _split(pieces: Sequence[str | Slot], controls: Mapping[str, AddedToken]) -> Skeleton:
    """Split the template's own text at the control tokens that it spells."""
    spelled = [
        name
        for name in controls
        if any(isinstance(piece, str) and name in piece for piece in pieces)
    ]
    runs: list[Control | tuple[str | Slot, ...]] = []
    run: list[str | Slot] = []
    for piece in pieces:
        for part in split_at_controls(piece, spelled) if isinstance(piece, str) else [piece]:
            if not isinstance(part, Control):
                run.append(part)
                continue
            if run:
                runs.append(tuple(run))
            run = []
            runs.append(part)
    if run:
        runs.append(tuple(run))
    strips = {
        name: (controls[name].lstrip, controls[name].rstrip)
        for name in spelled
        if controls[name].lstrip or controls[name].rstrip
    }
    return Skeleton(tuple(runs), strips, "" if strips else _opening(runs))


def _opening(runs: Sequence[Control | tuple[str | Slot, ...]]) -> str:
    """The longest text of the template with which a run begins."""
    starts = [run[0] for run in runs if not isinstance(run, Control)]
    longest = max((text for text in starts if isinstance(text, str)), key=len, default="")
    return longest if len(longest) >= _SHORTEST_OPENING else ""
