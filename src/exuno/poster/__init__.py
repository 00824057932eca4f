"""Many to one: a labelled data set distilled into one small poster that trains a network from scratch.

- ``options.PosterConfig``: what to do; ``train.make_poster(config) -> Run``: do it in a run directory.
- ``layout``, ``areas``, ``labels``, ``order``: where the classes lie (PoDD, PoDDL, PoCO).
- ``rat`` (RaT-BPTT, on ``unroll``), ``dm``, ``gm``: the algorithms; ``method.Distiller``: one outer step.
- ``measure``: training from a poster and testing; ``baselines``: real images at the same budget.
- ``command``: ``exuno poster``; the file of a poster is ``exuno.data.poster.format``.
"""
