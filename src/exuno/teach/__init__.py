"""Supervised training with label smoothing.

- ``options.TeachConfig``: what to do; ``train.teach(config) -> Run``: do it in a run directory.
- ``method.Supervised``: one step; ``presets/``: the named configurations; ``command``: ``exuno teach``.
"""
