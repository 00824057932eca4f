"""Looking inside a model.

- ``penultimate``: the features before the last layer. Three classes in the plane of their weights, how far the
  centroids of the classes are apart, and how much a model has moved them toward similar classes.

``geometry`` and ``plane`` are pure functions on features; ``readings`` takes the features from models, ``similar``
says which classes are alike, ``drawing`` and ``tables`` show what was found.
"""
