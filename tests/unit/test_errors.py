"""The tree of errors in the documentation is the tree of the classes."""

import re

from worker.domain import errors


def test_the_documented_tree_is_complete():
    documented = {}
    path: list[str] = []
    for indent, name in re.findall(r"^( {4,})(\w+)(?:  |$)", errors.__doc__ or "", re.MULTILINE):
        del path[len(indent) // 4 - 1 :]
        documented[name] = path[-1] if path else "Exception"
        path.append(name)
    assert documented == {
        name: found.__base__.__name__
        for name, found in vars(errors).items()
        if isinstance(found, type) and issubclass(found, errors.GuardstreamError)
    }
