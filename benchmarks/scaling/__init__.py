"""A day of load against an autoscaler, in fast time: `python -m benchmarks.scaling --help`."""
