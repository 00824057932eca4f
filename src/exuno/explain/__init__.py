"""Looking inside a model.

- ``penultimate``: the features before the last layer. Three classes in the plane of their weights, how far the
  centroids of the classes are apart, and how much a model has moved them toward similar classes.
- ``neurons``: pictures that please a unit most, of several models side by side.
- ``attention``: where a transformer looks in a picture.

``geometry`` and ``plane`` are pure functions on features; ``readings`` takes the features from models, ``similar``
says which classes are alike, ``drawing`` and ``tables`` show what was found. ``fourier`` and ``views`` are pictures to
optimise, ``units`` what they are to please, ``ascent`` the way there. ``models`` and ``carry_out`` serve every word,
``sheet`` lays pictures out.
"""
