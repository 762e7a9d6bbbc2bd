"""Bytes to event: framing, lenient JSON, and the exchange that is judged."""
