"""Foreign models: what they are, and how they become exuno's."""
