"""The draw: the right distribution, and a pure function of (seed, index)."""

import math
import random
from typing import Any

import numpy as np
import pytest
from scipy.stats import ks_2samp, kstest

from exuno.engine.errors import ExunoError
from exuno.synth.options import ImageOptions, check
from exuno.synth.parameters import HUE, draw

HEIGHT, WIDTH = 960, 1280


def plain_draw(options: ImageOptions, rng: random.Random) -> tuple[float, float, float, float]:
    """x, y, w, h of one patch, drawn step by step as the published code does."""
    x = y = 0
    width, height = WIDTH, HEIGHT
    if options.first_crop is not None:
        side = int(options.first_crop * min(HEIGHT, WIDTH))
        x, y = rng.randint(0, WIDTH - side), rng.randint(0, HEIGHT - side)
        width = height = side
    while True:
        area = width * height * rng.uniform(*options.area)
        aspect = math.exp(rng.uniform(math.log(options.aspect[0]), math.log(options.aspect[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return x + rng.randint(0, width - w), y + rng.randint(0, height - h), w, h


@pytest.mark.parametrize(
    "options", [ImageOptions(), ImageOptions(first_crop=None), ImageOptions(area=(0.3, 1.0), aspect=(0.5, 2.0))]
)
def test_boxes_are_distributed_as_in_the_published_code(options):
    rng = random.Random(1)
    plain = np.array([plain_draw(options, rng) for _ in range(6000)], float)
    box = draw(options, HEIGHT, WIDTH, 0, np.arange(6000)).box.astype(float)
    for name, of in {
        "x": lambda b: b[:, 0],
        "y": lambda b: b[:, 1],
        "area": lambda b: b[:, 2] * b[:, 3],
        "aspect": lambda b: b[:, 2] / b[:, 3],
        "right edge": lambda b: b[:, 0] + b[:, 2],
    }.items():
        result: Any = ks_2samp(of(plain), of(box))
        assert result.pvalue > 1e-3, name


def test_the_other_draws_are_uniform():
    options = ImageOptions(hflip=0.3, vflip=0.5, interpolation="random")
    drawn = draw(options, HEIGHT, WIDTH, 0, np.arange(6000))
    assert kstest(drawn.angle, "uniform", (-30, 60)).pvalue > 1e-3
    assert kstest(drawn.shear, "uniform", (-30, 60)).pvalue > 1e-3
    for column in range(HUE):
        assert kstest(drawn.factors[:, column], "uniform", (0.6, 0.8)).pvalue > 1e-3
    assert kstest(drawn.factors[:, HUE], "uniform", (-0.1, 0.2)).pvalue > 1e-3
    for share, expected in ((drawn.hflip, 0.3), (drawn.vflip, 0.5), (drawn.jitter, 0.5)):
        assert share.mean() == pytest.approx(expected, abs=0.03)
    assert np.bincount(drawn.filter) / 6000 == pytest.approx([1 / 3] * 3, abs=0.03)
    _, counts = np.unique(drawn.order, axis=0, return_counts=True)
    assert len(counts) == 24
    assert counts.min() > 180


def test_strong_jitter_never_makes_a_factor_negative():
    factors = draw(ImageOptions(jitter=(2.0, 2.0, 2.0, 0.5)), HEIGHT, WIDTH, 0, np.arange(500)).factors
    assert factors[:, :HUE].min() >= 0


def test_a_draw_depends_on_seed_and_index_alone():
    options = ImageOptions(area=(0.8, 1.0), aspect=(0.5, 2.0))  # many attempts
    whole = draw(options, HEIGHT, WIDTH, 3, np.arange(300))
    some = np.array([299, 5, 17, 10**12])
    for alone, index in zip([draw(options, HEIGHT, WIDTH, 3, [i]) for i in some[:3]], some[:3], strict=True):
        assert (alone.box == whole.box[index]).all()
        assert (alone.factors == whole.factors[index]).all()
    assert (draw(options, HEIGHT, WIDTH, 3, some).box[:3] == whole.box[some[:3]]).all()
    assert (draw(options, HEIGHT, WIDTH, 4, np.arange(300)).box != whole.box).any()


def test_no_crop_that_fits_is_an_error_and_not_an_endless_loop():
    with pytest.raises(ExunoError, match="no crop of area"):
        draw(ImageOptions(area=(1.0, 1.0), aspect=(2.0, 2.0)), HEIGHT, WIDTH, 0, [0])


@pytest.mark.parametrize(
    "options",
    [
        ImageOptions(size=0),
        ImageOptions(first_crop=1.5),
        ImageOptions(area=(0.5, 0.1)),
        ImageOptions(area=(0.0, 1.0)),
        ImageOptions(aspect=(2.0, 1.0)),
        ImageOptions(shear=90.0),
        ImageOptions(hflip=1.5),
        ImageOptions(jitter=(0.4, 0.4, 0.4, 0.6)),
        ImageOptions(rotate=float("nan")),
    ],
)
def test_senseless_options_are_named(options):
    with pytest.raises(ExunoError, match="--"):
        check(options)
