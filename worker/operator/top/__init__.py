"""The data of `guardstream top`, calculated from the metrics of workers.

`scrapes` parses one response of `/metrics`, `changes` compares two of the same worker, `loads` and
`view` aggregate several. All of this is pure; only `watching` does I/O.
"""
