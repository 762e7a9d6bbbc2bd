"""A rolling update, rehearsed with processes: `python -m benchmarks.rolling --help`."""
