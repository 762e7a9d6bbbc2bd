"""Guardstream: judges chat events from Kafka with a reasoning guard model on vLLM."""

from importlib.metadata import version

__version__ = version("guardstream")
