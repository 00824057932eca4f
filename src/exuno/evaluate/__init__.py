"""Measuring a model: ``eval`` is ``exuno eval``, ``measure`` logits over a data set, and the evaluator."""
