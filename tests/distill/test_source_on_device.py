"""Fresh patches made on the device of the training: those of the host, up to rounding."""

import numpy as np
import pytest
import torch

from exuno.data.batches import Drawn
from exuno.data.loader import Loader
from exuno.distill.source import FreshPatches
from exuno.engine.options import Augment
from exuno.synth.options import ImageOptions, VideoOptions
from exuno.synth.stream import ClipStream, PatchStream

CPU = torch.device("cpu")


def photo(seed: int) -> np.ndarray:
    """A smooth picture, so that a pixel's rounding stays one."""
    y, x = np.mgrid[:90, :120] / 100 + seed
    return (127 + 120 * np.stack([np.sin(3 * x), np.cos(2 * y), np.sin(x + y)], -1)).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("photos", [1, 3])
def test_patches_are_those_of_the_host(channels: int, photos: int) -> None:
    data = FreshPatches(PatchStream([photo(k) for k in range(photos)], 64, ImageOptions(size=16)), channels)
    loader = Loader(data, 16, Augment(flip=0.5, pad=2), 7, (16, 16))
    maker = data.drawn_on(CPU)
    assert maker is not None
    batches = Drawn(data, 16, Augment(flip=0.5, pad=2), 7, (16, 16), maker=maker, device=CPU)
    assert (len(batches), batches.batch_size) == (4, 16)
    for ours, theirs in zip(batches.epoch(2, 1), loader.epoch(2, 1), strict=True):
        assert torch.equal(ours["index"], theirs["index"])
        assert torch.equal(ours["labels"], theirs["labels"])
        far = (ours["images"] - theirs["images"]).abs()
        assert far.mean() < 0.5 / 255
        assert (far > 3 / 255).float().mean() < 0.01  # where the black border passes


def test_clips_are_made_on_the_host() -> None:
    assert FreshPatches(ClipStream(photo(0), 8, VideoOptions(size=16, frames=2)), 3).drawn_on(CPU) is None
