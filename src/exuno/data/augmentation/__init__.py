"""Augmentation of batches of images and clips, on the processor or on a device: one draw for each sample."""
