"""Judging files: records in, verdicts out, resumable at any moment."""
