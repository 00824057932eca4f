"""Layout, labels and order against the published code, whose answers make_podd.py has recorded in golden/podd.json."""

import json
from pathlib import Path

import make_podd
import numpy as np
import pytest
import torch

from exuno.data.poster.layout import Layout, boxes, offsets
from exuno.data.poster.patches import array_labels, fixed_labels
from exuno.poster.order import arrange
from exuno.poster.start import faded, initial_label_array

GOLDEN = json.loads((Path(__file__).parent / "golden/podd.json").read_text())


def geometry(dataset: str) -> Layout:
    height, width, rows, columns, down, across, patch, area = make_podd.GEOMETRIES[dataset]
    return Layout((height, width), (patch, patch), (patch, patch), (down, across), (rows, columns), (area, area))


@pytest.fixture(params=make_podd.GEOMETRIES)
def dataset(request: pytest.FixtureRequest) -> str:
    return request.param


def same(array: np.ndarray, golden: list[float]) -> bool:
    return np.allclose(make_podd.summary(array), golden, rtol=2e-6, atol=1e-7)


def test_patches_lie_where_they_did(dataset: str) -> None:
    assert same(boxes(geometry(dataset)), GOLDEN[dataset]["boxes"])


@pytest.mark.parametrize(("formula", "key"), [("reference", "softmax"), ("paper", "share")])
def test_fixed_labels(dataset: str, formula: str, key: str) -> None:
    layout = geometry(dataset)
    order = make_podd.order(*layout.grid)
    labels = fixed_labels(layout, order, order.size, "reference" if formula == "reference" else "paper")
    assert same(labels.numpy(), GOLDEN[dataset][key])


def test_labels_from_an_array(dataset: str) -> None:
    layout = geometry(dataset)
    labels = array_labels(make_podd.label_array(*layout.grid), layout)
    assert same(labels.numpy(), GOLDEN[dataset]["crops"])


def test_order(dataset: str) -> None:
    rows, columns = geometry(dataset).grid
    assert arrange(make_podd.distances(rows * columns), (rows, columns)).tolist() == GOLDEN[dataset]["order"]


def test_faded_areas(dataset: str) -> None:
    layout = geometry(dataset)
    areas = make_podd.areas(layout.grid[0] * layout.grid[1], layout.area[0])
    assert same(faded(areas, layout).numpy(), GOLDEN[dataset]["faded"])


def test_no_class_is_lost_where_the_published_label_array_loses_some(dataset: str) -> None:
    """It never takes an array that fills its budget, so with one cell a class it loses a row or column every time."""
    layout = geometry(dataset)
    order = make_podd.order(*layout.grid)
    assert GOLDEN[dataset]["classes_without_a_cell"] == {"cifar10": 5, "cub-200": 20}.get(dataset, 10)
    array = initial_label_array(layout, order, order.size)
    assert array.shape[1:] == layout.grid != tuple(GOLDEN[dataset]["label_array"])
    assert array.sum((1, 2)).tolist() == [1] * order.size
    assert array.argmax(0).tolist() == order.tolist()


def test_a_grid_higher_than_wide_fills_the_poster() -> None:
    """The published vertical fades are counted by columns: of 5 rows in 2 columns, it paints 2."""
    assert GOLDEN["wrong"]["tall_shape"] == [62, 60]
    picture = faded(torch.ones(10, 1, 32, 32), Layout((153, 60), (32, 32), (32, 32), (16, 6), (5, 2), (32, 32)))
    torch.testing.assert_close(picture, torch.ones(1, 153, 60))


def test_areas_that_are_not_square_lie_where_their_labels_say() -> None:
    """The published fade takes height for width: the middle one of three areas of 12 pixels lies off the middle."""
    layout = Layout((14, 30), (8, 8), (8, 8), (2, 4), (2, 3), (8, 12))
    marked = torch.zeros(6, 1, 8, 12)
    marked[1] = 1
    columns = faded(marked, layout)[0, 0].nonzero().flatten()
    assert (int(columns[0]), int(columns[-1]) + 1) == (10, 20)  # of 9 to 21, whose ends have faded to nothing
    assert offsets(30, 12, 3).tolist() == [0, 9, 18]
    assert (GOLDEN["wrong"]["oblong_start"], GOLDEN["wrong"]["oblong_stop"]) == (9, 19)
