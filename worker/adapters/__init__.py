"""Implementations of the ports: each maps one library or service to what the core asks for."""
