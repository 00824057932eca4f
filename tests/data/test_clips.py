"""Augmentation of clips: one draw for all frames, each a function of (seed, draw); runs and random short sides."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exuno.data.augmentation.augment import augment
from exuno.data.augmentation.clips import augment_clips, prepare_clips, runs
from exuno.data.augmentation.crop import boxes_of_short_side
from exuno.engine.check import check_augment
from exuno.engine.errors import ExunoError
from exuno.engine.options import Augment
from exuno.engine.ranges import check_fields

MOVES = Augment(short_side=(20, 26), flip=0.5, rotate=8, pad=1, cutout=4)
COLOURS = Augment(jitter=(0.4, 0.4, 0.4, 0.1), gray=0.3, solarize=0.3)


def noise(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, np.uint8))


@pytest.mark.parametrize("options", [MOVES, COLOURS, Augment(resized_crop=(0.3, 1))])
def test_every_frame_gets_what_its_clip_draws(options: Augment) -> None:
    clips, draws = noise(4, 3, 3, 24, 30), np.array([3, 8, 1, 12])
    whole = augment_clips(clips, options, 5, draws, (16, 16))
    assert whole.shape == (4, 3, 3, 16, 16)
    assert 0 <= whole.min() <= whole.max() <= 1
    for frame in range(3):
        alone = augment(clips[:, :, frame], options, 5, draws, (16, 16))
        torch.testing.assert_close(whole[:, :, frame], alone, atol=2e-6, rtol=0)
    various = augment_clips([*clips], options, 5, draws, (16, 16))
    torch.testing.assert_close(various, whole)


def test_a_run_of_frames() -> None:
    clips = torch.arange(16, dtype=torch.uint8).view(1, 1, 16, 1, 1).expand(2000, 1, 16, 4, 4)
    taken = augment_clips(clips, Augment(frames=4), 0, np.arange(2000), (4, 4))
    assert taken.shape == (2000, 1, 4, 4, 4)
    numbers = (taken[:, 0, :, 0, 0] * 255).round().int()
    assert torch.equal(numbers - numbers[:, :1], torch.arange(4).int().expand(2000, 4))
    counts = np.bincount(numbers[:, 0], minlength=13)
    assert len(counts) == 13  # from the first frame to the last from which four are left
    assert counts.min() > 0.6 * 2000 / 13
    assert not torch.equal(taken, augment_clips(clips, Augment(frames=4), 1, np.arange(2000), (4, 4)))
    short = runs([clips[0, :, :3], clips[1]], 4, np.array([0.9, 0.99]))
    assert [clip.shape[1] for clip in short] == [3, 4]
    assert short[1][0, :, 0, 0].tolist() == [12, 13, 14, 15]


@settings(max_examples=200, deadline=None)
@given(
    st.tuples(st.integers(1, 400), st.integers(1, 400)),
    st.tuples(st.integers(1, 300), st.integers(0, 60)),
    st.tuples(st.integers(1, 200), st.integers(1, 200)),
    st.integers(0, 10**6),
)
def test_boxes_of_a_random_short_side(
    image: tuple[int, int], short: tuple[int, int], size: tuple[int, int], seed: int
) -> None:
    """Inside the image; in the aspect of the result up to whole pixels; of a side in the range, or as large as fits."""
    low, high = short[0], short[0] + short[1]
    numbers = np.random.default_rng(seed).random((8, 3))
    boxes = boxes_of_short_side(np.array([image] * 8), (low, high), size, numbers)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] >= 1).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= image).all()
    scale = max(size[0] / image[0], size[1] / image[1])
    least, most = (max(scale, side / min(image)) for side in (low, high))
    for axis in (0, 1):
        assert (boxes[:, 2 + axis] <= max(1, size[axis] / least + 0.5001)).all()
        assert (boxes[:, 2 + axis] >= min(image[axis], max(1, size[axis] / most - 0.5001))).all()


def test_short_sides_of_both_ends_are_drawn() -> None:
    """A crop of 160 of an image of 200 x 300 whose short side becomes 183 … 229 spans 160 / 183 … 160 / 229 of it."""
    numbers = np.random.default_rng(0).random((4000, 3))
    boxes = boxes_of_short_side(np.tile([200, 300], (4000, 1)), (183, 229), (160, 160), numbers)
    assert {boxes[:, 2].max(), boxes[:, 2].min()} == {round(160 * 200 / 183), round(160 * 200 / 229)}
    assert (boxes[:, 2] == boxes[:, 3]).all()
    assert boxes[:, 0].max() + boxes[:, 2].min() > 190
    assert boxes[:, 1].min() == 0


def test_a_test_clip_is_resized_and_cut_out_of_the_centre() -> None:
    clips = noise(2, 3, 4, 40, 60)
    whole = prepare_clips(clips, (20, 20), 30)
    assert whole.shape == (2, 3, 4, 20, 20)
    from exuno.data.images.resize import prepare

    assert torch.equal(whole[:, :, 2], prepare(clips[:, :, 2], (20, 20), 30))


def check_all(options: Augment) -> None:
    check_fields(options, "augment.")
    check_augment(options)


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        (Augment(frames=0), "--augment.frames"),
        (Augment(augmix=11), "--augment.augmix"),
        (Augment(augmix=-1), "--augment.augmix"),
        (Augment(short_side=(30, 20)), "--augment.short-side"),
        (Augment(short_side=(0, 20)), "--augment.short-side"),
        (Augment(short_side=(20, 30), resized_crop=(0.5, 1)), "--augment.short-side"),
    ],
)
def test_numbers_that_no_augmentation_can_use(options: Augment, flag: str) -> None:
    with pytest.raises(ExunoError, match=flag):
        check_all(options)
