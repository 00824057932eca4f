"""exuno's own networks, a file for each family."""
