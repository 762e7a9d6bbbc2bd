"""Supervision of an engine: restarts, retries, a circuit breaker, isolation of poison prompts."""
