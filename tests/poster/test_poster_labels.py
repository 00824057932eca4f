"""Soft labels of patches, against counting pixel by pixel."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exuno.data.poster.layout import Layout, boxes, offsets
from exuno.data.poster.patches import array_labels, fixed_labels
from exuno.poster.start import initial_label_array

SMALL = Layout((12, 20), (6, 6), (6, 6), (3, 4), (2, 3), (7, 8))


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    grid = (draw(st.integers(1, 3)), draw(st.integers(1, 4)))
    size = (draw(st.integers(grid[0], 20)), draw(st.integers(grid[1], 20)))
    patch = (draw(st.integers(1, size[0])), draw(st.integers(1, size[1])))
    area = (draw(st.integers(1, size[0])), draw(st.integers(1, size[1])))
    return Layout(size, patch, patch, (draw(st.integers(1, 5)), draw(st.integers(1, 5))), grid, area)


def shuffled(layout: Layout) -> np.ndarray:
    return np.random.default_rng(0).permutation(layout.grid[0] * layout.grid[1]).reshape(layout.grid)


def counted(layout: Layout, order: np.ndarray) -> np.ndarray:
    """Pixels of each class in each patch, [P, classes], from a map of the poster."""
    pixels = np.zeros((order.size, *layout.size))
    for row, top in enumerate(offsets(layout.size[0], layout.area[0], layout.grid[0])):
        for column, left in enumerate(offsets(layout.size[1], layout.area[1], layout.grid[1])):
            pixels[order[row, column], top : top + layout.area[0], left : left + layout.area[1]] += 1
    cuts = [pixels[:, top:bottom, left:right].sum((1, 2)) for top, left, bottom, right in boxes(layout)]
    return np.stack(cuts)


@settings(max_examples=80, deadline=None)
@given(layouts())
def test_fixed_labels_are_shares_of_pixels(layout: Layout) -> None:
    order = shuffled(layout)
    counts = counted(layout, order)
    total = counts.sum(1, keepdims=True)
    shares = np.where(total > 0, counts / np.maximum(total, 1), 1 / order.size)
    labels = fixed_labels(layout, order, order.size)
    assert labels.dtype == torch.float32
    np.testing.assert_allclose(labels, shares, atol=1e-7)
    softmax = torch.from_numpy(counts).softmax(1)
    np.testing.assert_allclose(fixed_labels(layout, order, order.size, "reference"), softmax, atol=1e-6)


@settings(max_examples=80, deadline=None)
@given(layouts(), st.floats(0.5, 5))
def test_learned_labels_are_sums_of_cells(layout: Layout, cells: float) -> None:
    order = shuffled(layout)
    array = initial_label_array(layout, order, order.size, cells)
    assert array.sum(0).unique().tolist() == [1]
    assert (array.sum((1, 2)) > 0).all()
    array = torch.from_numpy(np.random.default_rng(1).random(array.shape))
    rows, columns = array.shape[1:]
    part = [max(1, int(p * n / full)) for p, n, full in zip(layout.patch, (rows, columns), layout.size, strict=True)]
    expected = []
    for left in offsets(columns, part[1], layout.patches[1]):
        for top in offsets(rows, part[0], layout.patches[0]):
            label = array[:, top : top + part[0], left : left + part[1]].sum((1, 2))
            expected.append(label / label.sum())
    labels = array_labels(array, layout)
    torch.testing.assert_close(labels, torch.stack(expected))
    which = torch.tensor([layout.count - 1, 0, 0])
    torch.testing.assert_close(array_labels(array, layout)[which], labels[which])


def test_the_first_label_array_follows_the_order() -> None:
    order = np.array([[3, 1, 0], [5, 2, 4]])
    assert initial_label_array(SMALL, order, 6).argmax(0).tolist() == order.tolist()
    array = initial_label_array(SMALL, order, 6, 4).argmax(0)
    assert array.shape == (4, 6)
    assert array.tolist() == np.kron(order, np.ones((2, 2))).tolist()


def test_labels_of_an_array_have_exact_gradients() -> None:
    array = torch.rand(6, 3, 4, dtype=torch.float64, requires_grad=True)
    which = torch.tensor([0, 5, 5, 11])

    def labels(array: torch.Tensor) -> torch.Tensor:
        return array_labels(array, SMALL)[which]

    assert torch.autograd.gradcheck(labels, array)
    assert torch.autograd.gradgradcheck(labels, array)


def test_an_array_of_zeros_gives_uniform_labels_and_finite_gradients() -> None:
    array = torch.zeros(6, 3, 4, requires_grad=True)
    labels = array_labels(array, SMALL)
    torch.testing.assert_close(labels, torch.full((12, 6), 1 / 6))
    labels.square().sum().backward()
    assert array.grad is not None
    assert array.grad.isfinite().all()


def test_cells_first_used_in_inference_mode_still_give_gradients() -> None:
    layout = Layout((12, 20), (5, 5), (5, 5), (3, 4), (2, 3), (7, 8))
    with torch.inference_mode():
        array_labels(torch.ones(6, 2, 3), layout)
    array = torch.ones(6, 2, 3, requires_grad=True)
    array_labels(array, layout)[0, 0].backward()
    assert array.grad is not None
    assert array.grad[0, 0, 0] == pytest.approx(5 / 36)
