"""Examining a teacher, and candidate photographs, before any training.

- ``doctor``: ``exuno doctor``, its configuration and command line; ``examine``: from top to bottom.
- ``examination``: what is examined, and the normalisation of its input; ``measures``: calibration, temperature, label
  smoothing; ``sources``: what a teacher makes of a photograph's patches; ``words``: tables and sentences.
"""
