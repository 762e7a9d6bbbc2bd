"""GuardReasoner (arXiv:2501.18492): prompt, parser, and the spans that the parser reads."""
