"""Few-shot transformers: iBOT (phase 1), SMKD (phase 2) and episodes of new classes.

- ``fewshot``: ``exuno fewshot pretrain | distill | eval``, its command line; ``options``, ``eval_options``.
- ``views``, ``network``, ``method``, ``losses/``: one step; ``train``: both phases; ``validate``: on the way.
- ``classes``: which classes are new; ``episodes``, ``heads/``: episodes and the classifiers on them; ``eval_models``,
  ``eval_measure``, ``evaluate``: what is measured, how, and the command; ``figures``: attention for the page.
"""
