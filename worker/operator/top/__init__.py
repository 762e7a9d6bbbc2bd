"""What `guardstream top` shows, worked out from what workers tell of themselves.

`scrapes` reads one answer of `/metrics`, `changes` compares two of the same worker, `loads` and
`view` sum up several. All of it is pure; `watching` alone talks to anybody.
"""
