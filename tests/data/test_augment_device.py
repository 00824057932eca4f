"""Draws in a tensor: the samples of draws in an array, and no value read from the device."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from exuno.data.audio.mel import pad_or_trim
from exuno.data.augmentation.augment import augment, flip, pad_crop, to_float
from exuno.data.augmentation.clips import augment_clips
from exuno.data.augmentation.colour import ORDERS, _orders
from exuno.engine.options import Augment

SIDE = (12, 13)
MOVES = Augment(flip=0.5, pad=2)
COLOURS = Augment(jitter=(0.4, 0.4, 0.4, 0.1), jitter_p=0.8, gray=0.3, solarize=0.3, cutout=4)
WARP = Augment(rotate=20, shift=0.1, zoom=0.1, flip=0.5)
BOX = Augment(resized_crop=(0.2, 1.0), flip=0.5)
SHORT = Augment(short_side=(9, 14), flip=0.5)
EACH = {
    "moves": (MOVES, 0.0),
    "colours": (COLOURS, 1e-5),
    "warp": (WARP, 1e-5),
    # On the CPU, images are rounded to 8 bits after each of two passes.
    "box": (BOX, 2.1 / 255),
    "short": (SHORT, 2.1 / 255),
}
FILL = (0.1, 0.2, 0.3)


def smooth(*shape: int, seed: int = 0) -> Tensor:
    """uint8 in the middle of the range, so that a cubic kernel does not leave it."""
    return torch.randint(60, 200, shape, generator=torch.Generator().manual_seed(seed)).byte()


@pytest.mark.parametrize("name", EACH)
@given(seed=st.integers(0, 2**40), first=st.integers(0, 2**40), channels=st.sampled_from([1, 3]))
@settings(max_examples=12, deadline=None)
def test_images_of_both_kinds_of_draws_agree(name: str, seed: int, first: int, channels: int) -> None:
    options, tolerance = EACH[name]
    images, draws = smooth(9, channels, 16, 17), np.arange(first, first + 9)
    size, fill = ((16, 17) if name not in ("box", "short") else SIDE), FILL[:channels]
    expected = augment(images, options, seed, draws, size, fill)
    found = augment(images, options, seed, torch.from_numpy(draws), size, torch.tensor(fill))
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", EACH)
@given(seed=st.integers(0, 2**40))
@settings(max_examples=5, deadline=None)
def test_clips_of_both_kinds_of_draws_agree(name: str, seed: int) -> None:
    options, tolerance = EACH[name]
    options = Augment(**{**options.__dict__, "frames": 3})
    clips, draws = smooth(4, 3, 5, 12, 13), np.arange(4) + 7
    size = (12, 13) if name not in ("box", "short") else (8, 8)
    expected = augment_clips(clips, options, seed, draws, size, FILL)
    found = augment_clips(clips, options, seed, torch.from_numpy(draws), size, torch.tensor(FILL))
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)


@given(seed=st.integers(0, 2**40), have=st.integers(1, 40), length=st.integers(1, 40), shift=st.floats(0, 1.5))
@settings(max_examples=60, deadline=None)
def test_recordings_of_both_kinds_of_draws_are_equal(seed: int, have: int, length: int, shift: float) -> None:
    recordings, draws = torch.rand(5, 1, have), np.arange(5)
    for options in (Augment(shift=shift), None):
        expected = pad_or_trim(recordings, length, options, seed, draws)
        assert torch.equal(pad_or_trim(recordings, length, options, seed, torch.from_numpy(draws)), expected)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_whole_pixels_move_alike(moves: list[tuple[bool, int, int]]) -> None:
    images = smooth(len(moves), 2, 5, 6)
    which, offsets = np.array([m[0] for m in moves]), np.array([m[1:] for m in moves])
    assert torch.equal(flip(images, torch.from_numpy(which)), flip(images, which))
    assert torch.equal(pad_crop(images, 2, torch.from_numpy(offsets)), pad_crop(images, 2, offsets))


def test_floats_of_the_cpu_are_those_of_another_device() -> None:
    every = torch.arange(256).byte()
    assert torch.equal(to_float(every), every.float().div_(255))


def test_orders_are_those_of_the_table() -> None:
    assert np.array_equal(torch.stack(_orders(torch.arange(24)), 1).numpy(), ORDERS)


def _images(options: Augment, size: tuple[int, int] = (16, 17)) -> Callable[[], Tensor]:
    return lambda: augment(torch.zeros(4, 3, 16, 17).byte(), options, 3, torch.arange(4), size, torch.ones(3))


TRACED: dict[str, Callable[[], Tensor]] = {
    **{name: _images(options, SIDE if name in ("box", "short") else (16, 17)) for name, (options, _) in EACH.items()},
    "another size": _images(MOVES, SIDE),
    "clips": lambda: augment_clips(
        torch.zeros(4, 3, 5, 16, 17).byte(),
        Augment(**{**COLOURS.__dict__, "frames": 3, "resized_crop": (0.2, 1.0), "flip": 0.5, "rotate": 5.0}),
        3,
        torch.arange(4),
        SIDE,
        torch.ones(3),
    ),
    "recordings": lambda: pad_or_trim(torch.zeros(4, 1, 30), 20, Augment(shift=0.3), 3, torch.arange(4)),
}


@pytest.mark.parametrize("name", TRACED)
def test_no_value_is_read_from_the_device(name: str) -> None:
    """A fake tensor has a shape and no values: reading one, or asking how many are true, raises."""
    with FakeTensorMode():
        assert TRACED[name]().dtype == torch.float32
