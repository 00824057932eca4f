"""The sampler: geometry as a chain of point maps, fidelity to PIL, purity."""

import dataclasses
import math
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from exuno.data.images.photo import load_photo
from exuno.engine.errors import ExunoError
from exuno.synth.geometry import rotate_shear_flip_crop, target_side
from exuno.synth.image import Sampler
from exuno.synth.options import ImageOptions
from exuno.synth.parameters import Parameters, draw

SHARED = Path(os.environ.get("EXUNO_SHARED", Path(__file__).parents[2].parent / "shared"))
AMEYOKO = SHARED / "data/source_images/ameyoko.jpg"
PLAIN = ImageOptions(first_crop=None, area=(1.0, 1.0), aspect=(1.0, 1.0), rotate=0.0, shear=0.0, jitter_p=0.0)


def one(angle: float = 0.0, shear: float = 0.0, hflip: bool = False, vflip: bool = False) -> Parameters:
    drawn = draw(PLAIN, 64, 64, 0, [0])
    change = {"angle": np.array([angle]), "shear": np.array([shear])}
    return dataclasses.replace(drawn, **change, hflip=np.array([hflip]), vflip=np.array([vflip]))


@given(st.integers(1, 300), st.floats(-180, 180), st.floats(-80, 80), st.booleans(), st.booleans(), st.floats(-9, 300))
def test_the_composed_map_is_the_chain_of_point_maps(size, angle, shear, hflip, vflip, place):
    """A point of the intermediate square, pushed through rotation, shear, flips and crop, and back by the map."""
    target = target_side(size)
    point = np.array([place, 0.3 * place + 1])
    x, y = point - (target - 1) / 2
    x -= math.tan(math.radians(shear)) * y  # shear, then clockwise rotation (y points down), about the centre
    a = math.radians(angle)
    x, y = math.cos(a) * x - math.sin(a) * y, math.sin(a) * x + math.cos(a) * y
    pushed = np.array([-x if hflip else x, -y if vflip else y]) + (target - 1) / 2 - round((target - size) / 2)
    matrix = rotate_shear_flip_crop(one(angle, shear, hflip, vflip), size)[0]
    assert matrix[:, :2] @ pushed + matrix[:, 2] == pytest.approx(point, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 70), st.integers(0, 255))
def test_patches_of_a_constant_picture_are_constant_or_black(seed, size, gray):
    sampler = Sampler(np.full((40, 60, 3), gray, np.uint8), ImageOptions(size=size, jitter_p=0), seed)
    assert set(np.unique(sampler(np.arange(8)))) <= {0, gray}


def test_a_flip_mirrors_the_intermediate_square_and_twice_is_nothing():
    photo = load_photo("photo:coffee")[:400, :400]
    sampler = Sampler(photo, dataclasses.replace(PLAIN, size=64), 0)  # 90 - 64 is even: the centre is the same
    plain = sampler.render(one())
    assert (sampler.render(one(hflip=True)) == plain[:, :, ::-1]).all()
    assert (sampler.render(one(vflip=True)) == plain[:, ::-1]).all()


def test_without_any_change_a_patch_is_the_photograph():
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (45, 45, 3), np.uint8)  # the intermediate square of 32
    assert (Sampler(photo, PLAIN, 0)([5])[0] == photo[6:38, 6:38]).all()


def test_nothing_outside_the_crop_bleeds_in():
    drawn = draw(ImageOptions(size=64), 200, 200, 0, np.arange(40))
    for row in range(40):
        x, y, w, h = drawn.box[row]
        photo = np.full((200, 200, 3), 255, np.uint8)
        photo[y : y + h, x : x + w] = 100
        still = dataclasses.replace(drawn[row : row + 1], jitter=np.array([False]))
        patch = Sampler(photo, ImageOptions(size=64), 0).render(still)
        assert patch.max() <= (100 if w * h < 60**2 else 115)  # a crop made smaller shares pixels of a level


def fidelity(photo: np.ndarray, size: int, count: int, jitter: bool) -> tuple[float, float]:
    """Mean PSNR in dB against the PIL chain, and the mean of the worst 5 %."""
    chain = pytest.importorskip("pil_chain")
    sampler = Sampler(photo, ImageOptions(size=size, vflip=0.5, hflip=0.5), 7)
    drawn = sampler.draw(np.arange(count))
    if not jitter:
        drawn = dataclasses.replace(drawn, jitter=np.zeros(count, bool))
    picture = Image.fromarray(photo)
    patches = sampler.render(drawn)
    values = [chain.psnr(patches[i], np.asarray(chain.pil_patch(picture, drawn, i, size))) for i in range(count)]
    return float(np.mean(values)), float(np.mean(np.sort(values)[: max(1, count // 20)]))


def assert_close_to_pil(photo: np.ndarray, size: int, count: int) -> None:
    for jitter in (False, True):
        mean, worst = fidelity(photo, size, count, jitter)
        assert mean >= 34
        assert worst >= 30


@pytest.mark.parametrize(("size", "count"), [(32, 100), (256, 20)])
def test_astronaut_is_close_to_pil(size, count):
    assert_close_to_pil(load_photo("photo:astronaut"), size, count)


@pytest.mark.skipif(not AMEYOKO.exists(), reason="../shared is absent")
@pytest.mark.parametrize(("size", "count"), [(32, 500), (256, 60), pytest.param(256, 500, marks=pytest.mark.slow)])
def test_ameyoko_is_close_to_pil(size, count):
    assert_close_to_pil(load_photo(AMEYOKO), size, count)


def test_every_filter_is_close_to_pil():
    chain = pytest.importorskip("pil_chain")
    photo = load_photo("photo:coffee")
    sampler = Sampler(photo, ImageOptions(interpolation="random", jitter_p=0), 0)
    drawn = sampler.draw(np.arange(90))
    patches = sampler.render(drawn)
    pil = [np.asarray(chain.pil_patch(Image.fromarray(photo), drawn, i, 32)) for i in range(90)]
    for number in range(3):
        assert np.mean([chain.psnr(patches[i], pil[i]) for i in np.flatnonzero(drawn.filter == number)]) > 32


def test_each_colour_change_is_that_of_pil():
    pytest.importorskip("torchvision")
    from torchvision.transforms import functional as F

    from exuno.synth.color import jitter

    changes: Any = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
    photo = load_photo("photo:coffee")
    sampler = Sampler(photo, ImageOptions(jitter_p=0), 0)
    drawn = sampler.draw(np.arange(30))
    patches = sampler.render(drawn)
    for step, largest in enumerate((0, 1, 2, 8)):
        mine = patches.copy()
        order = np.full((30, 1), step)
        jitter(mine, dataclasses.replace(drawn, jitter=np.ones(30, bool), order=order))
        pil = [changes[step](Image.fromarray(patches[i]), float(drawn.factors[i, step])) for i in range(30)]
        difference = np.abs(mine.astype(int) - np.stack([np.asarray(picture) for picture in pil]))
        assert difference.max() <= largest
        assert difference.mean() < 0.7


def test_a_patch_does_not_depend_on_its_batch_or_process():
    photo = load_photo("photo:coffee")
    sampler = Sampler(photo, ImageOptions(vflip=0.5), 3)
    whole = sampler(np.arange(50))
    assert (sampler([30])[0] == whole[30]).all()
    assert (sampler([49, 0])[1] == whole[0]).all()
    assert (pickle.loads(pickle.dumps(sampler))(np.arange(50)) == whole).all()
    assert len(pickle.dumps(sampler)) < photo.nbytes + 4096
    assert (Sampler(photo, ImageOptions(vflip=0.5), 4)(np.arange(50)) != whole).any()
    assert sampler([]).shape == (0, 32, 32, 3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (3, 2)])
def test_tiny_pictures_work_whole_and_are_refused_for_a_first_crop(shape):
    photo = np.full((*shape, 3), 9, np.uint8)
    assert Sampler(photo, ImageOptions(first_crop=None, jitter_p=0))(range(4)).max() == 9
    if min(shape) == 1:
        with pytest.raises(ExunoError, match="too small"):
            Sampler(photo)
