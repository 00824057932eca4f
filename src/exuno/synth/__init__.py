"""One photograph -> patches, clips.

options           what can be chosen
parameters        the draw of each patch, a pure function of (seed, index)
geometry, pyramid, color    from parameters to pixels
sampler           what the samplers of photographs share
image             Sampler: indices -> uint8 [N, size, size, 3], with OpenCV
video             ClipSampler: indices -> uint8 [N, frames, size, size, 3]
batched_torch     TorchSampler: the same on any device
mixture, stream   several photographs; torch Datasets
encode, mp4       patches and clips as files; contact: a picture of many
job, writer, pool what is written, and how, whatever the samples are
work              what the commands share
command           exuno synth; video_command: exuno synth video
"""
