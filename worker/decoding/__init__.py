"""Bytes to event: framing, JSON as logs hold it, and the exchange that is judged."""
