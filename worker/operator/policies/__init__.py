"""Tools for those who write policies: their own tests, and what a change would change."""
