"""The made clips: they move where their label says, at a steady pace, and show the digit that they claim."""

import numpy as np
import pytest

from exuno.data.base import ArrayData
from exuno.data.images.digits import DIRECTIONS, open_digits, open_moving, paint
from exuno.data.open import open_data
from exuno.engine.errors import ExunoError


@pytest.fixture(scope="module")
def clips():
    return open_moving("test")


def ink(clips: np.ndarray) -> np.ndarray:
    """How far each pixel is from the ground, which is the commonest level, [N, T, H, W]."""
    flat = clips.reshape(len(clips), -1)
    ground = np.array([np.bincount(row).argmax() for row in flat.astype(np.int64)])
    return np.abs(clips - ground[:, None, None, None])


def centres(clips: np.ndarray) -> np.ndarray:
    """(y, x) of the centre of brightness of each frame, [N, T, 2]."""
    weight = clips / clips.sum((2, 3), keepdims=True)
    line = np.arange(clips.shape[-1])
    return np.stack([(weight.sum(3) * line).sum(2), (weight.sum(2) * line).sum(2)], -1)


def test_every_clip_glides_steadily_where_its_label_says(clips):
    path = centres(ink(clips.images[:, 0].numpy().astype(float)))
    steps = np.diff(path, axis=1)
    np.testing.assert_allclose(steps, steps.mean(1, keepdims=True).repeat(7, 1), atol=0.1)
    names = [list(DIRECTIONS)[label] for label in clips.labels]
    wanted = np.array([DIRECTIONS[name] for name in names])
    np.testing.assert_array_equal(np.sign(np.round(steps.mean(1) / 0.5)), wanted)
    assert 0.55 < np.abs(steps.mean(1)).max(1).min() < np.abs(steps.mean(1)).max(1).max() < 1.65


def test_the_digit_stays_whole_in_the_picture(clips):
    amount = ink(clips.images[:, 0].numpy().astype(float)).sum((2, 3))
    np.testing.assert_allclose(amount, amount.mean(1, keepdims=True).repeat(8, 1), rtol=0.03)
    digits = open_digits("test").images.numpy()[np.arange(1000) % 355].astype(float).sum((1, 2, 3)) / 255
    contrast = amount.mean(1) / digits / 255
    assert 0.39 < contrast.min() < contrast.max() < 1.02


def test_digits_are_lighter_or_darker_than_their_ground_by_at_least_four_tenths():
    u = np.linspace(0, 1, 21)[:-1]
    ground, pen = (axis.ravel() for axis in np.meshgrid(u, u))
    pair = np.tile(np.array([0, 255], np.uint8), (len(ground), 1))
    painted = paint(pair, ground, pen).astype(float) / 255
    np.testing.assert_allclose(painted[:, 0], ground, atol=0.003)
    apart = painted[:, 1] - painted[:, 0]
    assert (np.abs(apart) >= 0.4 - 0.005).all()
    assert painted.min() >= 0
    assert painted.max() <= 1
    assert (apart > 0).any()
    assert (apart < 0).any()


def test_labels_by_digit_are_those_of_the_digits_shown(clips):
    data = open_data("moving-digits@digit", "test")
    assert isinstance(data, ArrayData)
    np.testing.assert_array_equal(data.labels[:355], open_digits("test").labels)
    assert data.num_classes == 10
    np.testing.assert_array_equal(data.images, clips.images)


def test_it_is_clips_of_eight_frames_with_the_training_statistics(clips):
    assert (clips.frames, clips.image_size, clips.channels, len(clips)) == (8, (20, 20), 1, 1000)
    train = open_moving("train")
    assert (train.mean, train.std) == (clips.mean, clips.std)
    assert len(train) == 4000


@pytest.mark.parametrize(("spec", "split"), [("moving-digits@colour", "train"), ("moving-digits", "val")])
def test_what_it_has_not_is_told(spec, split):
    with pytest.raises(ExunoError, match="moving-digits"):
        open_data(spec, split)
