"""Teacher -> student on any source.

- ``distill``: ``exuno distill``, its command line; ``options``: its configuration; ``select``: the teacher chooses
  patches; ``check``: what no distillation can use.
- ``train``: from top to bottom; ``method``: one step, with CutMix and MixUp; ``losses``: imitation of teacher logits.
- ``source``: what the student sees; ``teacher``: cached logits, and what speaks against a teacher; ``presets/``.
"""
