"""Ways to tell how good a poster is, a file for each. ``--algorithm NAME`` finds them, or ``module:Name``.

An algorithm is a function, or a frozen dataclass whose fields are its options (``--algorithm-options KEY=VALUE``), with
the signature of :class:`exuno.poster.context.Algorithm`. One that needs more than a batch of real images at a time has
a method ``prepare(context, material)``, which is called once before the first step and returns what is called then; see
:class:`exuno.poster.context.Material`. Facts of its registration, for the estimate of the cost: ``inner``, whether a
network is trained on the poster first; ``window``, whether the gradient goes through ``--unroll.window`` steps of it.
"""
