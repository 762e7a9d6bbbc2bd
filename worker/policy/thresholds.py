"""The thresholds of each tenant: the nearest level that sets one counts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from worker.policy.file import Level, PolicyFile, Thresholds


@dataclass(frozen=True, slots=True)
class TenantThresholds:
    """All thresholds of a tenant, in the order of the policy's `thresholds`.

    Attributes:
        plain: for each threshold its value.
        by_category: for each threshold its values for categories, by their code.
    """

    plain: tuple[float, ...]
    by_category: tuple[Mapping[str, float], ...]


def faults_of_levels(file: PolicyFile) -> list[str]:
    """What is wrong with the levels: unknown thresholds, unknown parents, cycles."""
    faults = [
        f"{where}: there is no threshold {name}; `thresholds` at the top names all of them"
        for where, given in _all_thresholds(file)
        for name in given
        if name not in file.thresholds
    ]
    for tenant, level in file.tenants.items():
        if level.inherits is not None and level.inherits not in file.tenants:
            faults.append(f"tenants.{tenant}: there is no tenant {level.inherits} to inherit from")
        elif tenant in (chain := _parents(file, tenant)):
            faults.append(f"tenants.{tenant}: inherits from itself ({' -> '.join(chain)})")
    return faults


def _all_thresholds(file: PolicyFile) -> Iterable[tuple[str, Thresholds]]:
    for code, given in file.categories.items():
        yield f"categories.{code}", given
    for tenant, level in file.tenants.items():
        yield f"tenants.{tenant}", level.thresholds
        for code, given in level.categories.items():
            yield f"tenants.{tenant}.categories.{code}", given


def _parents(file: PolicyFile, tenant: str) -> list[str]:
    """The tenants that a tenant inherits from, the nearest first; in a cycle each once."""
    chain: list[str] = []
    at = file.tenants[tenant].inherits
    while at is not None and at in file.tenants and at not in chain:
        chain.append(at)
        at = file.tenants[at].inherits
    return chain


def with_heirs(file: PolicyFile, tenants: Iterable[str]) -> frozenset[str]:
    """Tenants, and all that inherit from them."""
    named = frozenset(tenants)
    return named | {one for one in file.tenants if not named.isdisjoint(_parents(file, one))}


def resolve(file: PolicyFile) -> tuple[TenantThresholds, dict[str, TenantThresholds]]:
    """The thresholds of all other tenants, and those of each tenant of the file."""
    top = Level(thresholds=file.thresholds, categories=file.categories)
    found = {}
    for tenant in file.tenants:
        chain = [tenant, *_parents(file, tenant)]
        levels = [top, *(file.tenants[one] for one in reversed(chain))]
        found[tenant] = _resolved(list(file.thresholds), levels)
    return _resolved(list(file.thresholds), [top]), found


def _resolved(names: list[str], levels: list[Level]) -> TenantThresholds:
    plain: dict[str, float] = {}
    special: dict[str, dict[str, float]] = {name: {} for name in names}
    for level in levels:
        for name, value in level.thresholds.items():
            plain[name] = value
            # a nearer level's general value counts before a farther one's for a category
            special[name].clear()
        for code, given in level.categories.items():
            for name, value in given.items():
                special[name][code] = value
    return TenantThresholds(
        tuple(plain[name] for name in names), tuple(special[name] for name in names)
    )
