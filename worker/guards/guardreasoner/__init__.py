"""GuardReasoner (arXiv:2501.18492): prompt, parser, and the spans of the labels and reasoning."""
