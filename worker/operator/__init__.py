"""The tools for operators, one package or module for each."""
