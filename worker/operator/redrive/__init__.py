"""Redrive: dead letters are sent back to their original topics."""
