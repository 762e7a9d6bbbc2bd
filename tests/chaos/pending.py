"""Kinds whose expected behaviour the worker does not have yet: left out unless asked for by name.

Empty it when the worker has all of them.
"""

PENDING: tuple[str, ...] = ()
