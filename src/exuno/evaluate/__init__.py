"""Measuring a model.

- ``exuno.metrics`` (a shared room): accuracy, confusion, calibration, agreement, intervals, from logits and labels.
- ``measure``: logits of a model over a data set; the evaluator of the loop.
- ``command``: ``exuno eval``.
"""
