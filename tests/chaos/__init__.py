"""Faults on purpose: a real cluster, workers as processes, and an oracle that counts.

`python -m tests.chaos --help` runs it by hand; `cluster`, `workers`, `feed`, `faults` and `oracle`
can be used apart.
"""
