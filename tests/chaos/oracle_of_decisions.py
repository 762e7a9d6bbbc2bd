"""What should have been decided on every verdict, and what was; pure, as `oracle` is."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from tests.chaos.oracle import Found, Guarantee, Violation
from tests.chaos.policies import FoundDecision


def undecided(
    found: Sequence[Found], decisions: Sequence[FoundDecision], *, guarantee: Guarantee
) -> list[Violation]:
    """Every broken promise about decisions.

    With exactly_once each verdict has one decision, of the same action. With at_least_once a
    verdict may come again, decided by another policy: one verdict and one decision agree. And a
    worker can end between the two, after which the same record is dead-lettered.
    """
    verdicts, decided = _by_verdict(found), defaultdict[str, list[FoundDecision]](list)
    for decision in decisions:
        decided[decision.verdict_id].append(decision)
    broken = [
        Violation("without an action", f"a dead letter {one.error}", one.at)
        for one in found
        if one.error and one.action is None
    ]
    for verdict_id, theirs in verdicts.items():
        of_these = decided.pop(verdict_id, [])
        name = f"the verdict {verdict_id} on {theirs[0].partition}@{theirs[0].offset}"
        if not of_these:
            letters = [one for one in found if one.error and _place(one) == _place(theirs[0])]
            if guarantee == "exactly_once" or not letters:
                times = ", ".join(f"{one.at:.3f}" for one in theirs)
                told = f"{name} has no decision; it was published at {times}"
                broken.append(Violation("undecided", told, theirs[0].at))
            continue
        actions = [one.action for one in theirs], [one.action for one in of_these]
        if guarantee == "exactly_once" and len(of_these) != len(theirs):
            told = f"{name} has {len(of_these)} decisions for {len(theirs)} verdicts"
            broken.append(Violation("decided again", told, of_these[-1].at))
        elif guarantee == "exactly_once" and sorted(map(str, actions[0])) != sorted(actions[1]):
            told = f"{name} says {actions[0]}, its decision {actions[1]}"
            broken.append(Violation("decided otherwise", told, of_these[-1].at))
        elif not {*actions[0]} & {*actions[1]}:
            told = f"{name} says {actions[0]}, its decisions {actions[1]}"
            broken.append(Violation("decided otherwise", told, of_these[-1].at))
    broken += [_wrong(one) for one in decisions if not _is_right(one)]
    broken += [
        Violation("decided on nothing", f"a decision on {verdict_id}", theirs[0].at)
        for verdict_id, theirs in decided.items()
    ]
    return sorted(broken, key=lambda violation: violation.at)


def _place(one: Found) -> tuple[int, int, int | None]:
    return one.partition, one.offset, one.exchange


def _by_verdict(found: Sequence[Found]) -> Mapping[str, list[Found]]:
    verdicts = defaultdict(list)
    for one in found:
        if not one.error:
            verdicts[one.verdict_id].append(one)
    return verdicts


def _is_right(one: FoundDecision) -> bool:
    return one.action == one.header == one.expected and one.is_named_well


def _wrong(one: FoundDecision) -> Violation:
    where = f"{one.output[0]}/{one.output[1]}@{one.position}"
    told = f"{where} says {one.action} and {one.header}, its policy {one.expected}"
    if not one.is_named_well:
        told = f"{where} has an id that does not follow from verdict and policy"
    return Violation("wrongly decided", told, one.at)
