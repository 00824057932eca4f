"""Patches cut by one gather: the slices of the poster, and their gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exuno.data.poster.layout import Layout, boxes
from exuno.data.poster.patches import Canvas


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    size = (draw(st.integers(2, 24)), draw(st.integers(2, 24)))
    patch = (draw(st.integers(1, size[0])), draw(st.integers(1, size[1])))
    patches = (draw(st.integers(1, 7)), draw(st.integers(1, 7)))
    return Layout(size, patch, patch, patches, (1, 1), size)


@settings(max_examples=60, deadline=None)
@given(layouts(), st.integers(1, 3), st.integers(0, 1000))
def test_patches_are_slices_of_the_poster(layout: Layout, channels: int, number: int) -> None:
    poster = torch.rand(channels, *layout.size)
    slices = torch.stack([poster[:, top:bottom, left:right] for top, left, bottom, right in boxes(layout).tolist()])
    canvas = Canvas(layout)
    assert torch.equal(canvas.patches(poster), slices)
    which = torch.tensor([number % layout.count, 0, layout.count - 1])
    assert torch.equal(canvas.patches(poster)[which], slices[which])


def test_patches_are_numbered_column_by_column() -> None:
    found = boxes(Layout((60, 153), (32, 32), (32, 32), (6, 16), (2, 5), (32, 32)))
    assert found[:7, 0].tolist() == [0, 6, 11, 17, 22, 28, 0]
    assert found[:7, 1].tolist() == [0] * 6 + [8]
    assert found[-1].tolist() == [28, 121, 60, 153]


@pytest.mark.parametrize("image", [(3, 3), (4, 5)])
def test_gradients_of_both_orders_are_exact(image: tuple[int, int]) -> None:
    layout = Layout((5, 7), image, (3, 3), (2, 3), (1, 1), (5, 7))
    canvas = Canvas(layout)
    which = torch.tensor([0, 3, 3, 5])
    poster = torch.rand(2, 5, 7, dtype=torch.float64, requires_grad=True)

    def curved(poster: torch.Tensor) -> torch.Tensor:
        return canvas.patches(poster)[which].sin()

    assert torch.autograd.gradcheck(curved, poster)
    assert torch.autograd.gradgradcheck(curved, poster)


def test_smaller_patches_are_enlarged_to_the_image() -> None:
    layout = Layout((4, 4), (4, 6), (2, 2), (3, 3), (1, 1), (4, 4))
    ramp = torch.arange(4.0).expand(1, 4, 4)  # rises to the right
    patches = Canvas(layout).patches(ramp)
    assert patches.shape == (9, 1, 4, 6)
    expected = torch.tensor([0, 0, 1 / 3, 2 / 3, 1, 1])  # pixel centres at 1/6, 1/2, 5/6, … of two pixels
    torch.testing.assert_close(patches[0, 0, 0], expected)
    torch.testing.assert_close(patches[-1, 0, 3], expected + 2)


def test_a_canvas_first_used_in_inference_mode_still_gives_gradients() -> None:
    layout = Layout((4, 4), (2, 2), (2, 2), (2, 2), (1, 1), (4, 4))
    canvas = Canvas(layout)
    with torch.inference_mode():
        canvas.patches(torch.zeros(1, 4, 4))
    poster = torch.zeros(1, 4, 4, requires_grad=True)
    canvas.patches(poster).sum().backward()
    assert poster.grad is not None
    assert poster.grad.tolist() == [[[1.0] * 4] * 4]
