"""Tools for operators: one package for each."""
