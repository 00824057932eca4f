"""Which patches are hidden: how many, and of what each mask is a function."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exuno.fewshot import masks as module
from exuno.fewshot.masks import most_masked
from exuno.fewshot.options import Mask

GRIDS = st.tuples(st.integers(1, 12), st.integers(1, 12))
SHARES = st.floats(0, 1)


def make_masks(numbers: np.ndarray, *rest: Any) -> np.ndarray:
    return module.make_masks(torch.from_numpy(numbers), *rest).numpy()


def blocks(wanted: np.ndarray, grid: tuple[int, int], aspect: float, numbers: np.ndarray) -> np.ndarray:
    return module.blocks(torch.from_numpy(wanted), grid, aspect, torch.from_numpy(numbers)).numpy()


def draws(count: int, first: int = 0) -> np.ndarray:
    return np.arange(first, first + count, dtype=np.int64)


@given(GRIDS, SHARES, st.floats(0.1, 1), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_no_mask_hides_more_than_is_asked(grid: tuple[int, int], ratio: float, aspect: float, seed: int) -> None:
    for shape in ("block", "random"):
        masks = make_masks(draws(6), Mask(shape, (ratio,), (0.0,), aspect), grid, seed)
        assert masks.shape == (2, 6, grid[0] * grid[1])
        assert masks.dtype == np.bool_
        assert masks.sum(2).max() <= ratio * grid[0] * grid[1]


@given(GRIDS, SHARES, st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_single_patches_are_exactly_as_many_as_asked(grid: tuple[int, int], ratio: float, seed: int) -> None:
    masks = make_masks(draws(5), Mask("random", (ratio,), (0.0,)), grid, seed)
    assert (masks.sum(2) == int(ratio * grid[0] * grid[1])).all()


@given(GRIDS, st.data())
@settings(max_examples=40, deadline=None)
def test_blocks_stay_within_what_each_image_wants(grid: tuple[int, int], data: st.DataObject) -> None:
    wanted = np.array(data.draw(st.lists(st.floats(0, grid[0] * grid[1]), min_size=1, max_size=5)))
    numbers = np.random.default_rng(data.draw(st.integers(0, 1000))).random((len(wanted), 120, 4))
    hidden = blocks(wanted, grid, 0.3, numbers)
    assert hidden.shape == (len(wanted), *grid)
    assert (hidden.sum((1, 2)) <= wanted).all()


def test_a_first_block_is_a_rectangle() -> None:
    """One rectangle only, so that its sides and its aspect ratio can be seen."""
    numbers = np.random.default_rng(0).random((500, 1, 4))
    hidden = blocks(np.full(500, 60.0), (16, 16), 0.3, numbers)
    heights, widths = hidden.any(2).sum(1), hidden.any(1).sum(1)
    assert (hidden.sum((1, 2)) == heights * widths).all()
    made = heights > 0
    assert made.mean() > 0.9
    assert (heights[made] * widths[made]).min() >= 0.6 * (16 // 3) ** 2
    ratio = heights[made] / widths[made]
    assert ratio.min() < 0.5 < 2 < ratio.max()
    assert abs(np.log(ratio).mean()) < 0.1  # neither lying nor standing
    top = hidden.any(2).argmax(1)[made]
    assert (top == 0).any()
    assert (top + heights[made] == 16).any()


@pytest.mark.parametrize("shape", ["block", "random"])
def test_a_ratio_of_0_hides_nothing_and_the_mean_is_that_of_the_ratios(shape) -> None:
    assert not make_masks(draws(20), Mask(shape, (0.0,), (0.0,)), (14, 14), 0).any()
    for options, mean in ((Mask(shape, (0.3,), (0.2,)), 0.3), (Mask(shape, (0.0, 0.3), (0.0, 0.2)), 0.15)):
        shares = make_masks(draws(1500), options, (28, 28), 0).mean(2)
        assert shares.mean() == pytest.approx(mean, abs=0.015)
        assert shares.max() <= 0.5
        assert shares.max() > 0.45
    assert (shares == 0).mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("shape", ["block", "random"])
def test_a_mask_is_a_function_of_seed_draw_and_view(shape) -> None:
    options = Mask(shape, (0.3,), (0.2,))
    masks = make_masks(draws(64), options, (8, 8), 1)
    np.testing.assert_array_equal(make_masks(draws(64)[10:20], options, (8, 8), 1), masks[:, 10:20])
    np.testing.assert_array_equal(make_masks(draws(64)[::-1].copy(), options, (8, 8), 1), masks[:, ::-1])
    assert (make_masks(draws(64), options, (8, 8), 2) != masks).any(2).mean() > 0.9
    assert (make_masks(draws(64, 64), options, (8, 8), 1) != masks).any(2).mean() > 0.9


@given(GRIDS, st.lists(st.tuples(st.floats(0, 0.9), st.floats(0, 0.5)), min_size=1, max_size=3), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_the_bound_of_a_mask_holds(grid: tuple[int, int], shares: list[tuple[float, float]], seed: int) -> None:
    ratio, spread = zip(*shares, strict=True)
    for shape in ("block", "random"):
        options = Mask(shape, ratio, spread)
        masks, most = make_masks(draws(30), options, grid, seed), most_masked(options, grid[0] * grid[1])
        assert masks.sum(2).max() <= most
        assert most <= max(r + s for r, s in shares) * grid[0] * grid[1] + 1


def test_a_device_that_is_not_asked_makes_the_same_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = make_masks(draws(200), Mask(), (8, 8), 0)
    monkeypatch.setattr(module, "reads_are_free", lambda device: False)
    np.testing.assert_array_equal(make_masks(draws(200), Mask(), (8, 8), 0), asked)


@pytest.mark.parametrize("shape", ["block", "random"])
def test_the_views_of_an_image_are_masked_independently(shape) -> None:
    one, two = make_masks(draws(2000), Mask(shape, (0.0, 0.3), (0.0, 0.2)), (8, 8), 0)
    assert abs(np.corrcoef(one.sum(1), two.sum(1))[0, 1]) < 0.08
    assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 0.05


def test_every_patch_is_hidden_as_often_where_single_ones_are() -> None:
    masks = make_masks(draws(4000), replace(Mask(), shape="random", ratio=(0.3,), spread=(0.0,)), (6, 6), 0)
    np.testing.assert_allclose(masks.mean((0, 1)), int(0.3 * 36) / 36, atol=0.025)
