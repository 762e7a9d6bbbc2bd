"""Guards: how a model family is asked and how its answer is read; one file per family."""
