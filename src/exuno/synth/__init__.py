"""One photograph -> patches.

options           what can be chosen
parameters        the draw of each patch, a pure function of (seed, index)
geometry, pyramid, color    from parameters to pixels
image             Sampler: indices -> uint8 [N, size, size, 3], with OpenCV
batched_torch     TorchSampler: the same on any device
mixture, stream   several photographs; a torch Dataset
encode, contact   patches as files; a picture of many
job, writer, pool what is written, and how, whatever the samples are
work, command     exuno synth
"""
