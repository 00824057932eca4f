"""Data sets of images, clips and recordings: how one is named, opened, split, augmented and brought to a device.

- ``names``, ``open``: data specs and what they open; ``base``: what a data set is; ``constants``.
- ``subset``, ``holdout``, ``classes``, ``labels``, ``layout``: parts of data sets, and what people's labels and folders
  mean.
- ``loader``: batches by worker processes; ``batches``: where they are made, and sets that lie on the device; ``dali``:
  by NVIDIA DALI; ``rng``, ``rng_torch``: the random numbers behind every draw, the same in NumPy and on a device.
- ``shards``: WebDataset shards; ``preview``: a picture of any sample.
- ``images``, ``video``, ``audio``: one file for each format; ``augmentation``; ``named``: published data sets;
  ``poster``: posters as files and as data sets.
"""
