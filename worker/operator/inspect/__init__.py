"""The history of a record: its event, prompt, completions and outcomes."""
