"""One photograph -> patches, clips; one recording -> excerpts.

options           what can be chosen
parameters        the draw of each patch, a pure function of (seed, index)
geometry, pyramid, color    from parameters to pixels
sampler           what the samplers of photographs share
image             Sampler: indices -> uint8 [N, size, size, 3], with OpenCV
video             ClipSampler: indices -> uint8 [N, frames, size, size, 3]
batched_torch     TorchSampler: the same on any device
audio             ExcerptSampler: indices -> float32 [N, samples]; audio_options, audio_parameters as above
audio_vocoder     time stretch and pitch of pieces of one recording, many at once
interleave        several samplers as one; mixture: of photographs; stream: torch Datasets
encode, mp4, audio_files    patches, clips and excerpts as files; contact: a picture of many
job, writer, pool what is written, and how, whatever the samples are
work              what the commands share
command           exuno synth; video_command, audio_command: its second words
"""
