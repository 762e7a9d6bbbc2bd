"""Which setting a misspelt name means."""

from difflib import get_close_matches

from worker.runtime.settings.model import PREFIX, Settings, settings_list, variable_of

_CUTOFF = 0.75
# a name of any length would take quadratic time
_LONGEST = 100


def meant_variable(variable: str) -> str | None:
    """The hint for a variable of the prefix that is no setting."""
    known = {setting.variable for setting in settings_list()}
    known |= {variable_of((group,)) for group in Settings.model_fields}
    # one underscore where two are needed is the usual mistake
    options = {name.replace("__", "_"): name for name in sorted(known)}
    given = variable.upper().replace("__", "_")[:_LONGEST]
    # the prefix is the same in all, and would make all similar
    names = {name.removeprefix(PREFIX): full for name, full in options.items()}
    found = get_close_matches(given.removeprefix(PREFIX), names, 1, _CUTOFF)
    return _hint(names[found[0]]) if found else None


def meant_prefix(variable: str) -> str | None:
    """The variable that is meant, if this one is a setting with a misspelt prefix; else None."""
    name = variable.upper()
    if name.startswith(PREFIX) or len(name) > _LONGEST:
        return None
    for setting in settings_list():
        suffix = setting.variable.removeprefix(PREFIX)
        prefix = name.removesuffix(suffix)
        if name.endswith(f"_{suffix}") and get_close_matches(prefix, [PREFIX], 1, _CUTOFF):
            return setting.variable
    return None


def meant_settings(path: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The settings or groups that a key of the file may mean, which is neither."""
    names = [setting.path for setting in settings_list()]
    groups = {name[:length] for name in names for length in range(1, len(name))}
    key = path[-1].lower()[:_LONGEST]
    siblings = {name[-1]: name for name in (*sorted(groups), *names) if name[:-1] == path[:-1]}
    if found := get_close_matches(key, siblings, 1, _CUTOFF):
        return [siblings[found[0]]]
    if elsewhere := [name for name in names if name[-1] == key]:
        return elsewhere
    dotted = {".".join(name): name for name in names}
    return [dotted[name] for name in get_close_matches(key, dotted, 1, _CUTOFF)]


def meant_setting(path: tuple[str, ...]) -> str | None:
    """The hint for a key of the file that is no setting."""
    meant = meant_settings(path)
    return _hint(" or ".join(".".join(name) for name in meant)) if meant else None


def _hint(meant: str) -> str:
    return f"did you mean {meant}?"
