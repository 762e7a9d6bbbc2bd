"""How many GPUs, replicas and partitions a load needs."""
