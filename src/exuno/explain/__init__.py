"""Looking inside a model.

- ``explain``: ``exuno explain``, its command line; ``options``: its configurations; ``work``: what every word shares.
- ``penultimate``: features before the last layer, on ``readings`` (features of several models), ``geometry`` (numbers
  about clusters), ``similar`` (which classes are alike) and ``drawing``.
- ``neurons``: activation maximisation (``ascent``) of ``units``; ``attention``: where a transformer looks.
"""
