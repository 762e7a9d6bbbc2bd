"""Settings, the composition root, and the life of a worker process."""
