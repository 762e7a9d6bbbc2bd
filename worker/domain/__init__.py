"""The domain model: records, events, verdicts, errors, outcomes and the ports; no I/O."""
