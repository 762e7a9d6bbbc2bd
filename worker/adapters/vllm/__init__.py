"""vLLM, and the tokenizer that belongs to its models."""
