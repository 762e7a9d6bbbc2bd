"""The shapes in which decisions are published, other than `guardstream.decision/1`.

Each is a pure function from a decision and its verdict to a JSON document.
"""
