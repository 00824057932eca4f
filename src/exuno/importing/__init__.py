"""Foreign models: what a file of weights is, and how it becomes a model of exuno (``exuno import``)."""
