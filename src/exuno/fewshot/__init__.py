"""Few-shot transformers: iBOT (phase 1), SMKD (phase 2) and episodes of new classes.

- ``fewshot``: ``exuno fewshot pretrain | distill | eval | predict``, its command line; ``options``, ``eval_options``,
  ``predict_options``.
- ``masks``, ``network``, ``method``, ``losses/``: one step; ``train``: both phases; ``validate``: on the way.
- ``classes``: which classes are new; ``episodes``, ``heads/``: episodes and the classifiers on them; ``eval_models``:
  what is measured; ``eval_measure``: how, and the table; ``evaluate``: the command; ``figures``: attention.
- ``predictor``: pictures whose class nobody knows.
"""
