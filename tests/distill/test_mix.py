"""CutMix and MixUp: what is mixed, with whom, and how often."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exuno.distill.method import box, draw
from exuno.distill.method import mix as mix_by
from exuno.distill.options import Mix
from exuno.engine.method import Numbers, Table


def numbered(count: int, side: int = 8) -> torch.Tensor:
    """Images whose every pixel is the number of the image."""
    return torch.arange(count, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 1, side, side).contiguous()


def mix(images: torch.Tensor, options: Mix, seed: int, step: int) -> tuple[torch.Tensor, float]:
    """The mixed images of a step, and the share of their own."""
    height, width = (1, *images.shape[2:])[-2:] if images.ndim == 3 else images.shape[-2:]
    drawn = draw(options, seed, step, (height, width))
    return mix_by(images, options, Numbers(Table(images.device).write(drawn))), drawn["own"]


def sliced(images: torch.Tensor, options: Mix, seed: int, step: int) -> torch.Tensor:
    """The same with Python numbers and a slice."""
    drawn = draw(options, seed, step, (1, images.shape[-1]) if images.ndim == 3 else images.shape[-2:])  # type: ignore
    partner = images.flip(0)
    if drawn["keep"] != 1:
        return torch.lerp(partner, images, drawn["keep"])
    top, bottom, left, right = (int(drawn[name]) for name in ("top", "bottom", "left", "right"))
    mixed = images.clone()
    if images.ndim == 3:
        mixed[..., left:right] = partner[..., left:right]
    else:
        mixed[..., top:bottom, left:right] = partner[..., top:bottom, left:right]
    return mixed


SHAPES = st.one_of(
    st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(2, 33), st.integers(1, 33)),
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(2, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 5), st.just(1), st.integers(1, 400)),
)
ALPHAS = st.sampled_from([0.0, 0.25, 1.0])


@given(SHAPES, ALPHAS, ALPHAS, st.sampled_from([0.5, 1.0]), st.integers(0, 10_000))
@settings(deadline=None)
def test_numbers_on_the_device_mix_bit_by_bit_as_slices_do(
    shape: tuple[int, ...], cutmix: float, mixup: float, probability: float, step: int
) -> None:
    images = torch.rand(shape, generator=torch.Generator().manual_seed(step))
    options = Mix(cutmix, mixup, probability)
    assert torch.equal(mix(images, options, 0, step)[0], sliced(images, options, 0, step))


@given(st.integers(0, 10_000), ALPHAS, ALPHAS)
@settings(deadline=None)
def test_the_shares_of_an_image_and_its_partner_make_one(step: int, cutmix: float, mixup: float) -> None:
    drawn = draw(Mix(cutmix, mixup), 0, step, (8, 8))
    assert drawn["own"] + drawn["other"] == 1
    assert list(drawn) == list(draw(Mix(), 0, 0, (8, 8)))  # a step that is recorded finds the same numbers


def test_off_means_untouched() -> None:
    images = numbered(4)
    mixed, share = mix(images, Mix(), 0, 0)
    assert mixed is images
    assert share == 1


@given(st.integers(0, 10_000))
@settings(deadline=None)
def test_cutmix_takes_one_box_from_the_mirror_image_and_says_how_much(step: int) -> None:
    images = numbered(6)
    mixed, share = mix(images, Mix(cutmix=1.0), 0, step)
    own = mixed == images
    assert torch.equal(torch.where(own, images, images.flip(0)), mixed)
    assert own[0].float().mean().item() == pytest.approx(share)
    assert all(torch.equal(own[0], each) for each in own)
    assert torch.equal(images, numbered(6))


@given(st.integers(0, 10_000))
@settings(deadline=None)
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
@settings(deadline=None)
def test_a_box_lies_in_the_image(height: int, width: int, share: float, y: float, x: float) -> None:
    top, bottom, left, right = box(height, width, share, y, x)
    assert 0 <= top <= bottom <= height
    assert 0 <= left <= right <= width
    assert (bottom - top) * (right - left) <= (1 - share) * height * width + 1e-6


def test_cutmix_cuts_one_box_through_all_frames_and_a_stretch_of_a_recording() -> None:
    clips = torch.arange(4.0).view(4, 1, 1, 1, 1).expand(4, 2, 3, 8, 8)
    mixed, share = mix(clips, Mix(cutmix=1.0), 0, 3)
    assert 0 < share < 1
    taken = mixed[0] != clips[0]
    assert torch.equal(taken, taken[:1, :1].expand_as(taken))
    assert taken[0, 0].float().mean().item() == pytest.approx(1 - share)
    sounds = torch.arange(4.0).view(4, 1, 1).expand(4, 1, 1000)
    mixed, share = mix(sounds, Mix(cutmix=1.0), 0, 3)
    taken = (mixed[0, 0] != sounds[0, 0]).int()
    assert taken.float().mean().item() == pytest.approx(1 - share)
    assert taken.diff().abs().sum() <= 2, "one stretch"
