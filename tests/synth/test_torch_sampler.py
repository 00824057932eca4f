"""The batched torch path and the stream."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from exuno.data.images.photo import load_photo
from exuno.synth.batched_torch import TorchSampler
from exuno.synth.image import Sampler
from exuno.synth.options import ImageOptions
from exuno.synth.stream import PatchStream

DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("spec", ["photo:coffee", "noise:0"])
@pytest.mark.parametrize("size", [32, 100])
def test_agrees_with_opencv(device, spec, size):
    """Without jitter by one step at most.

    With it a step can grow: the hue of a nearly gray pixel is a quotient of small numbers, and contrast multiplies.
    Pixels on the black border may fall on the other side of it.
    """
    options = ImageOptions(size=size, hflip=0.5, vflip=0.5, interpolation="random")
    sampler = Sampler(load_photo(spec), options, 0)
    drawn = sampler.draw(np.arange(100))
    for jitter, within in ((np.zeros(100, bool), 1), (drawn.jitter, 2)):
        drawn = dataclasses.replace(drawn, jitter=jitter)
        batched = TorchSampler(sampler, device).render(drawn).permute(0, 2, 3, 1).cpu().numpy()
        difference = np.abs(batched.astype(int) - sampler.render(drawn))
        assert (difference <= within).mean() > 0.999
        assert difference.mean() < 0.05


def test_torch_sampler_of_nothing():
    assert TorchSampler(Sampler(load_photo("photo:coffee")))([]).shape == (0, 3, 32, 32)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_the_stream_is_the_same_with_any_number_of_workers(workers):
    photos = [load_photo("photo:coffee"), load_photo("photo:astronaut")]
    stream = PatchStream(photos, 24, seed=5)
    loader = DataLoader(stream, batch_size=7, num_workers=workers)
    images = torch.cat([batch for batch, _ in loader])
    assert len(images) == 24
    for i in (0, 1, 23):
        expected = Sampler(photos[i % 2], ImageOptions(), 5)([i])[0]
        assert (images[i].permute(1, 2, 0).numpy() == expected).all()


def test_the_stream_is_endless_and_an_epoch_is_not():
    stream = PatchStream(load_photo("photo:coffee"), 4)
    assert len(list(stream)) == 4
    assert (stream[10**9][0] != stream[0][0]).any()
    assert (stream.fetch(np.array([2]))[0][0] == stream[2][0]).all()
    assert stream[0][1] == -1
