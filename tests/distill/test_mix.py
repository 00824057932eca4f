"""CutMix and MixUp: what is mixed, with whom, and how often."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from exuno.distill.mix import box, mix
from exuno.distill.options import Mix


def numbered(count: int, side: int = 8) -> torch.Tensor:
    """Images whose every pixel is the number of the image."""
    return torch.arange(count, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 1, side, side).contiguous()


def test_off_means_untouched() -> None:
    images = numbered(4)
    mixed, share = mix(images, Mix(), 0, 0)
    assert mixed is images
    assert share == 1


@given(st.integers(0, 10_000))
def test_cutmix_takes_one_box_from_the_mirror_image_and_says_how_much(step: int) -> None:
    images = numbered(6)
    mixed, share = mix(images, Mix(cutmix=1.0), 0, step)
    own = mixed == images
    assert torch.equal(torch.where(own, images, images.flip(0)), mixed)
    assert own[0].float().mean().item() == pytest.approx(share)
    assert all(torch.equal(own[0], each) for each in own)
    assert torch.equal(images, numbered(6))


@given(st.integers(0, 10_000))
def test_mixup_is_a_weighted_mean(step: int) -> None:
    images = numbered(6)
    mixed, share = mix(images, Mix(mixup=1.0), 0, step)
    torch.testing.assert_close(mixed, share * images + (1 - share) * images.flip(0))


def test_the_draw_depends_on_seed_and_step_only() -> None:
    a, b = (mix(numbered(n), Mix(cutmix=1.0), 3, 5)[1] for n in (4, 8))
    assert a == b
    assert len({mix(numbered(4), Mix(cutmix=1.0), 3, step)[1] for step in range(50)}) > 10


def test_both_on_draws_one_and_probability_leaves_batches_alone() -> None:
    found = [mix(numbered(4), Mix(cutmix=1.0, mixup=1.0, probability=0.5), 0, step) for step in range(400)]
    untouched = np.mean([share == 1.0 for _, share in found])
    fractional = np.mean([bool((mixed % 1 != 0).any()) for mixed, _ in found])
    assert 0.4 < untouched < 0.65  # a box cut off to nothing also counts
    assert 0.15 < fractional < 0.35


def test_small_alpha_mixes_little_or_much() -> None:
    shares = np.array([mix(numbered(2, 32), Mix(mixup=0.25), 0, step)[1] for step in range(2000)])
    assert np.mean((shares < 0.05) | (shares > 0.95)) == pytest.approx(
        0.514, abs=0.04
    )  # of Beta(1/4, 1/4), scipy.stats
    assert shares.mean() == pytest.approx(0.5, abs=0.03)


@given(st.integers(1, 64), st.integers(1, 64), st.floats(0, 1), st.floats(0, 0.999), st.floats(0, 0.999))
def test_a_box_lies_in_the_image(height: int, width: int, share: float, y: float, x: float) -> None:
    top, bottom, left, right = box(height, width, share, y, x)
    assert 0 <= top <= bottom <= height
    assert 0 <= left <= right <= width
    assert (bottom - top) * (right - left) <= (1 - share) * height * width + 1e-6
