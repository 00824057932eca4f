"""Any budget gives a layout that keeps to it and teaches every class; what cannot be is told."""

import math
import re
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from exuno.data.poster.layout import Layout, boxes
from exuno.data.poster.patches import fixed_labels
from exuno.data.poster.quantisation import byte_size
from exuno.engine.errors import ExunoError
from exuno.poster.layout import class_grid, label_shape, plan, read_pair
from exuno.poster.options import PosterConfig

CIFAR10 = ((32, 32), 10, 3)


def config(**options: object) -> PosterConfig:
    return PosterConfig("digits", **options)  # type: ignore[arg-type]


def check(layout: Layout, classes: int) -> None:
    found = boxes(layout)
    assert found.shape == (layout.count, 4)
    assert len(np.unique(found, axis=0)) == layout.count
    assert found[:, :2].min() >= 0
    assert (found[:, 2:] <= layout.size).all()
    assert math.prod(layout.grid) == classes
    labels = fixed_labels(layout, np.arange(classes).reshape(layout.grid), classes)
    np.testing.assert_allclose(labels.sum(1), 1, rtol=1e-5)
    assert (labels.sum(0) > 0).all()


@settings(max_examples=150, deadline=None)
@given(
    st.floats(0.001, 3),
    st.integers(1, 60),
    st.sampled_from([(8, 8), (32, 32), (28, 20), (16, 40)]),
    st.sampled_from([1, 3]),
)
def test_images_per_class(ipc: float, classes: int, image: tuple[int, int], channels: int) -> None:
    def made(**options: object) -> Layout | str:
        try:
            return plan(config(**options), image, classes, channels)
        except ExunoError as error:
            return error.todo

    found = made(ipc=ipc)
    if isinstance(found, str):  # too few pixels: what the message proposes must do
        proposed = re.search(r"--ipc ([\d.]+) or --canvas (\w+)", found)
        assert proposed, found
        assert float(proposed[1]) > ipc
        for layout in (made(ipc=float(proposed[1])), made(canvas=proposed[2])):
            assert isinstance(layout, Layout), layout
            check(layout, classes)
    else:
        budget = Fraction(str(ipc)) * classes * math.prod(image)  # the decimal that was typed: 1.9 * 29 * 560 is whole
        assert found.pixels <= budget
        assert found.pixels > budget - found.size[0] - 1
        check(found, classes)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(200, 50_000),
    st.sampled_from([1, 2, 10, 24, 37, 100]),
    st.sampled_from(["fixed", "learned"]),
    st.floats(0.5, 6),
    st.sampled_from([1, 3]),
    st.sampled_from([2, 4, 8]),
    st.sampled_from([2, 4, 8, 16]),
)
def test_bytes_hold_pixels_and_labels(
    budget: int, classes: int, labels: str, cells: float, channels: int, bits: int, label_bits: int
) -> None:
    options = config(bytes=budget, labels=labels, label_cells=cells, bits=bits, label_bits=label_bits)
    try:
        layout = plan(options, (32, 32), classes, channels)
    except ExunoError:
        assume(False)
        raise
    held = byte_size(layout.pixels * channels, bits)
    spare = byte_size(channels * (layout.size[0] + 1), bits) + 1
    if labels == "learned":
        used = math.prod(label_shape(layout.size, layout.grid, classes, cells))
        held += byte_size(used * classes, label_bits)
        spare += byte_size((int(classes * cells + 1e-6) - used) * classes, label_bits) if cells > 1 else 0
    assert held <= budget
    assert held > budget - spare  # less is left than another column, and cells that another aspect could use
    check(layout, classes)


def test_the_published_geometries() -> None:
    layout = plan(config(ipc=0.9), *CIFAR10)
    assert (layout.size, layout.grid, layout.patch, layout.area) == ((60, 153), (2, 5), (32, 32), (30, 31))
    assert plan(config(ipc=0.9), (32, 32), 100, 3).grid == (10, 10)
    assert plan(config(ipc=0.9), (64, 64), 200, 3).grid == (10, 20)
    given = config(canvas="153x60", grid="5x2", patches="16x6", area="32x32")
    assert plan(given, *CIFAR10) == Layout((60, 153), (32, 32), (32, 32), (6, 16), (2, 5), (32, 32))


@pytest.mark.parametrize(("ipc", "patch"), [(0.1, 18), (0.2, 25), (0.3, 32)])
def test_small_budgets_give_several_patches_of_several_labels(ipc: float, patch: int) -> None:
    """The published code keeps 32 pixels: at 0.1 images a class, its poster is one patch with a uniform label."""
    layout = plan(config(ipc=ipc), *CIFAR10)
    assert layout.patch == (patch, patch)
    assert min(layout.patches) >= 2
    labels = fixed_labels(layout, np.arange(10).reshape(2, 5), 10).numpy()
    assert len(np.unique(labels.round(4), axis=0)) == layout.count


def test_a_prime_number_of_classes_makes_a_strip() -> None:
    layout = plan(config(ipc=0.2), (8, 8), 13, 1)
    assert layout.grid == (1, 13)
    assert layout.patches[0] == 1
    check(layout, 13)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 300), st.floats(0.1, 9), st.integers(1, 400), st.integers(1, 400))
def test_label_arrays_hold_every_class(classes: int, cells: float, height: int, width: int) -> None:
    grid = class_grid(None, classes)
    rows, columns = label_shape((height, width), grid, classes, cells)
    assert rows >= grid[0]
    assert columns >= grid[1]
    assert rows * columns <= max(classes * cells + 1e-6, classes)
    if cells <= 1:
        assert (rows, columns) == grid


def test_label_arrays_take_the_aspect_of_the_poster() -> None:
    assert label_shape((60, 153), (2, 5), 10, 4) == (4, 10)
    assert label_shape((300, 300), (10, 10), 100, 2.25) == (15, 15)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "the poster has no budget"),
        ({"ipc": 0.3, "canvas": "90x30"}, "--ipc and --canvas are 2 budgets"),
        ({"ipc": 0.3, "bytes": 900}, "--ipc and --bytes are 2 budgets"),
        ({"ipc": -1.0}, "--ipc is -1.0"),
        ({"ipc": math.nan}, "--ipc is nan"),
        ({"ipc": math.inf}, "--ipc is inf"),
        ({"bytes": 2}, "--bytes is 2"),
        ({"bytes": 200, "labels": "learned"}, "--bytes 200 does not hold the learned labels, which take up to 200"),
        ({"bytes": 900, "labels": "learned", "label_cells": 0.0}, "--label-cells is 0.0"),
        ({"canvas": "90"}, "--canvas 90 is not understood"),
        ({"canvas": "0x30"}, "--canvas 0x30 is not understood"),
        ({"canvas": "90x30x3"}, "--canvas 90x30x3 is not understood"),
        ({"canvas": "4x1"}, "a poster of 4x1 pixels is smaller than its grid of 5x2 classes"),
        ({"canvas": "5x2"}, "a poster of 5x2 pixels has no room for several patches of at least 2x2"),
        ({"ipc": 0.3, "grid": "5x3"}, "--grid 5x3 has 15 places for 10 classes"),
        ({"ipc": 0.3, "grid": "five"}, "--grid five is not understood"),
        ({"ipc": 0.1, "patch": 32}, "a poster of 51x20 pixels is smaller than one patch of 32x32"),
        ({"ipc": 0.3, "patch": 33}, "--patch is 33"),
        ({"ipc": 0.3, "patches": "60x2"}, "--patches 60x2 is more than the 56x4 places"),
        ({"ipc": 0.3, "patches": "1x2"}, "--patches 1x2 leaves out class column 3"),
        ({"ipc": 0.9, "patches": "0x2"}, "--patches 0x2 is not understood"),
        ({"ipc": 0.3, "area": "90x30"}, "--area 90x30 does not fit into a poster of 87x35 pixels"),
    ],
)
def test_mistakes_are_told(options: dict, message: str) -> None:
    with pytest.raises(ExunoError) as caught:
        plan(config(**options), *CIFAR10)
    assert caught.value.what.startswith(message)
    assert caught.value.todo.endswith(".")


def test_a_poster_smaller_than_one_patch_names_what_would_do() -> None:
    with pytest.raises(ExunoError, match=r"--ipc 0\.25\d* or --canvas 80x32") as caught:
        plan(config(ipc=0.1, patch=32), *CIFAR10)
    proposed = re.search(r"--ipc ([\d.]+)", caught.value.todo)
    assert proposed
    assert plan(config(ipc=float(proposed[1]), patch=32), *CIFAR10).patch == (32, 32)


def test_one_patch_on_an_axis_is_allowed() -> None:
    assert plan(config(canvas="80x33", patches="9x1"), *CIFAR10).patches == (1, 9)


def test_the_order_needs_no_torch() -> None:
    code = "import sys, exuno.poster.order; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_pairs_are_read_width_first() -> None:
    assert read_pair("153X60", "--canvas") == (60, 153)
