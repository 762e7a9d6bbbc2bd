"""Timings, which tests never assert."""
