"""What a page shows of a sample: the image, the clip made small, the spectrogram."""

import numpy as np
import torch

from exuno.data.base import ArrayData
from exuno.data.preview import shown


def data(*shape: int, rate: int | None = None) -> ArrayData:
    made = np.zeros((2, *shape), np.float32) if rate else np.zeros((2, *shape), np.uint8)
    return ArrayData("made", made, np.zeros(2, np.int64), rate=rate)


def test_an_image_as_it_is():
    batch = torch.rand(2, 3, 5, 6)
    assert np.array_equal(shown(data(3, 5, 6), batch), batch.mul(255).round().byte().permute(0, 2, 3, 1).numpy())


def test_a_clip_keeps_its_first_and_last_frame_and_gets_small():
    levels = torch.linspace(0, 1, 21).view(1, 1, 21, 1, 1).expand(2, 3, 21, 120, 200)
    found = shown(data(3, 21, 120, 200), levels)
    assert found.shape == (2, 8, 58, 96, 3)
    middle = found[0, :, 20, 20, 0].astype(int)
    assert (middle[0], middle[-1]) == (0, 255)
    assert (np.diff(middle) >= 25).all()


def test_a_small_clip_is_not_enlarged():
    clips = torch.rand(2, 1, 4, 20, 20)
    found = shown(data(1, 4, 20, 20), clips)
    assert np.array_equal(found[..., 0], clips[:, 0].mul(255).round().byte().numpy())


def test_a_high_tone_is_above_a_low_one():
    time = torch.arange(8000) / 8000
    batch = torch.stack([torch.sin(2 * torch.pi * pitch * time) for pitch in (200.0, 3000.0)])[:, None]
    low, high = shown(data(1, 8000, rate=8000), batch)[..., 0].mean(2)
    assert high.argmin() < low.argmin(), "dark is loud, and rows begin at the top"
