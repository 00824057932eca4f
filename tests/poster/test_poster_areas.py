"""The first poster: class areas that fade into each other."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exuno.data.poster.layout import Layout, offsets
from exuno.poster.start import faded, noise_areas, placement


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 8))
def test_weights_are_a_partition_of_unity(full: int, part: int, count: int) -> None:
    part = min(part, full)
    weights = placement(full, part, count)
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum((1, 2)), 1)
    starts = offsets(full, part, count)
    pixel = np.arange(full)[:, None]
    covered = (starts <= pixel) & (pixel < starts + part)
    inside = covered.any(1)
    assert not weights.sum(2)[inside][~covered[inside]].any()  # where areas lie, only they are painted


def test_an_overlap_fades_linearly() -> None:
    weights = placement(13, 8, 2).sum(2)  # at 0 and 5: pixels 5, 6, 7 are shared
    np.testing.assert_allclose(weights[:, 0], [1] * 5 + [1, 0.5, 0] + [0] * 5)


def test_a_gap_fades_from_edge_to_edge() -> None:
    weights = placement(9, 3, 2)  # at 0 and 6: pixels 3, 4, 5 are of nobody
    np.testing.assert_allclose(weights[3:6, 0, 2], [0.75, 0.5, 0.25])
    np.testing.assert_allclose(weights[3:6, 1, 0], [0.25, 0.5, 0.75])


def test_areas_that_touch_are_only_placed() -> None:
    layout = Layout((6, 8), (2, 2), (2, 2), (2, 2), (2, 2), (3, 4))
    images = torch.rand(4, 3, 3, 4)
    picture = faded(images, layout)
    for place, image in enumerate(images):
        row, column = divmod(place, 2)
        torch.testing.assert_close(picture[:, row * 3 : row * 3 + 3, column * 4 : column * 4 + 4], image)


def test_noise_areas_are_of_unit_norm_and_repeatable() -> None:
    areas = noise_areas(1, 5, 3, (4, 6))
    assert areas.shape == (5, 3, 4, 6)
    assert areas.dtype == torch.float32
    torch.testing.assert_close(areas.flatten(1).norm(dim=1), torch.ones(5))
    assert torch.equal(areas, noise_areas(1, 5, 3, (4, 6)))
    assert not torch.equal(areas, noise_areas(2, 5, 3, (4, 6)))
    cosines = areas.flatten(1) @ areas.flatten(1).T
    assert (cosines - torch.eye(5)).abs().max() < 0.6  # directions of their own
