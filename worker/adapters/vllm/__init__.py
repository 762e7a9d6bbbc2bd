"""vLLM, and the tokenizer of its models."""
