"""Test images are resized and cropped to the pixel as by torchvision, with which published numbers are measured."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exuno.data.augmentation.clips import prepare_clips
from exuno.data.dali import _Inputs
from exuno.data.images.photo import load_photo
from exuno.data.images.resize import cover, prepare
from exuno.engine.options import Augment
from exuno.features.extract import crops

SIDES = st.integers(1, 2000)


def torchvisions(height: int, width: int, crop: int, short: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Size after ``Resize(short)`` by torchvision's own function, and corner of ``CenterCrop(crop)`` by its formula."""
    from torchvision.transforms.functional import _compute_resized_output_size

    scaled = _compute_resized_output_size((height, width), [short])
    corner = tuple(int(round((side - crop) / 2.0)) for side in scaled)  # noqa: RUF046
    return (scaled[0], scaled[1]), (corner[0], corner[1])


@settings(max_examples=400, deadline=None)
@given(SIDES, SIDES, st.integers(1, 400), st.integers(0, 100))
@example(375, 500, 224, 32)
@example(333, 500, 224, 32)
@example(1, 2000, 1, 0)
def test_sizes_and_corners_are_torchvisions(height: int, width: int, crop: int, more: int) -> None:
    expected = torchvisions(height, width, crop, crop + more)
    assert cover(height, width, (crop, crop), crop + more) == expected
    if not more:
        assert cover(height, width, (crop, crop), None) == expected


@settings(max_examples=200, deadline=None)
@given(SIDES, SIDES, st.tuples(st.integers(1, 300), st.integers(1, 300)), st.none() | st.integers(1, 300))
def test_what_is_cut_out_lies_inside(height: int, width: int, size: tuple[int, int], short: int | None) -> None:
    """Of oblong sizes and short sides that are too short as well; the picture is no larger than it has to be."""
    scaled, corner = cover(height, width, size, short)
    for whole, first, part in zip(scaled, corner, size, strict=True):
        assert 0 <= first <= first + part <= whole
    least = max(size[0], size[1]) if short is None else max(*size, short)
    assert min(scaled) <= least


def photo(height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(load_photo("photo:coffee")[:height, :width])).permute(2, 0, 1)


@pytest.mark.parametrize(("height", "width"), [(333, 500), (375, 599), (399, 257), (224, 225), (100, 131)])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_pixels_are_torchvisions(height: int, width: int, mode: str) -> None:
    """Resize(256) and CenterCrop(224) of uint8 tensors, bit for bit."""
    from torchvision.transforms import v2

    image = photo(height, width)
    chain: Any = v2.Compose([v2.Resize(256, v2.InterpolationMode(mode), antialias=True), v2.CenterCrop(224)])
    found = prepare([image], (224, 224), 256, mode)
    assert torch.equal(found[0], chain(image))
    if mode == "bicubic":  # what features are taken from, and the frames of clips
        assert torch.equal(crops([image], (224, 224), 256), found)
    else:
        assert torch.equal(prepare_clips([torch.stack([image] * 2, 1)], (224, 224), 256)[0, :, 1], found[0])


def test_dali_is_fed_the_same_region() -> None:
    """The corners of what fills the result are those of the crop, in pixels of the image as it is."""
    inputs: Any = _Inputs.__new__(_Inputs)
    inputs.options, inputs.size, inputs.seed = Augment(), (224, 224), 0
    _, low, high = inputs._regions(np.array([[333, 500]]), np.array([0]))
    scaled, corner = torchvisions(333, 500, 224, 224)
    assert low[0] == pytest.approx([corner[k] * side / scaled[k] for k, side in enumerate((333, 500))])
    assert high[0] - low[0] == pytest.approx([224 * side / scaled[k] for k, side in enumerate((333, 500))])
