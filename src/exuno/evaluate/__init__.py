"""Measuring a model: ``eval`` is ``exuno eval``, ``measure`` the logits over a data set and the evaluator of the loop."""
