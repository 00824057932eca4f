"""Augmentation of batches of images and clips, on the processor or on a device: one draw for each sample. ``augment``:
all of it in order; ``crop``, ``colour``, ``augmix``, ``clips``: its parts; ``views``: multi-crop. CutMix and MixUp:
``distill.method``."""
