"""What became of a record: its event, prompt, completion and verdict together."""
