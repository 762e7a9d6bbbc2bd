"""Guards that are declared in a YAML file: how they are asked, and the grammar of their answers."""
