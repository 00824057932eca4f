"""One photograph -> patches, clips; one recording -> excerpts. Every sample is a function of (seed, index).

- ``synth``: ``exuno synth [video | audio]``; ``options``: what can be chosen; ``work``, ``job``: checked, shared among
  processes, continued; ``writer``: files.
- ``parameters`` (draws), ``geometry``, ``color``: from draws to pixels; ``image``, ``video``: the samplers;
  ``batched_torch``: the same on a device.
- ``audio``, ``vocoder``: excerpts; ``mixture``: several sources as one; ``stream``: torch data sets.
"""
