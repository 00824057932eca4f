"""Few-shot transformers: iBOT (phase 1), SMKD (phase 2) and episodes of new classes.

- ``options``: the configurations; ``command``: ``exuno fewshot pretrain | distill | eval``.
- ``views``, ``mask``, ``projection``, ``method``: one step of training.
- ``losses/``: DINO, iBOT, SMKD as pure functions.
- ``train``: both phases in a run directory; ``validate``: episodes and clusters on the way.
- ``episodes``, ``heads/``: episodes as batched tensors, and the classifiers on them.
- ``features``, ``evaluate``: any model as a feature extractor, measured.
"""
