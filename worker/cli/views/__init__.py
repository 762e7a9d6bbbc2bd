"""The output of commands, one module for each kind of result."""
