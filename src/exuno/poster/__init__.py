"""Many to one: a labelled data set distilled into one small poster that trains a network from scratch.

- ``poster``: ``exuno poster``, its command line; ``options``: its configuration; ``train``: from top to bottom.
- ``layout``, ``order``, ``clip``, ``start``: where the classes lie, and what a distillation starts from; ``real``: its
  real images.
- ``method``: one outer step; ``context``: what an algorithm works with; ``algorithms/``; ``unroll``: the gradient
  through a training, on ``inner`` (optimizers), ``block`` (of the ConvNet), ``recorded`` (steps); ``augment``;
  ``network``.
- ``protocol``: training from a poster; ``measure``, ``evaluate``, ``baselines``: what it is worth; ``drawing``.
"""
