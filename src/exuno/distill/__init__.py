"""Teacher -> student on any source.

- ``options.DistillConfig``: what to do; ``train.distill(config) -> Run``: do it in a run directory.
- ``losses``: soft targets, argmax targets, hard labels; ``mix``: CutMix and MixUp; ``method.Distillation``: one step.
- ``source``: patches of photographs, or any data set; ``figures``: the pictures of the page.
- ``presets/``: the named configurations; ``command``: ``exuno distill``.
"""
