"""Views: of the same size, where they should be, and draws of their own."""

import numpy as np
import pytest
import torch

from exuno.explain import ascent


@pytest.mark.parametrize("size", [8, 33])
def test_a_view_has_the_size_of_its_picture(size: int) -> None:
    images = torch.rand(3, 3, size, size)
    maps = ascent.draw(0, [1, 2, 3], 0, size)
    assert maps.shape == (3, 2, 3)
    assert ascent.view(images, maps).shape == images.shape
    still = torch.eye(2, 3).expand(3, -1, -1)
    torch.testing.assert_close(ascent.view(images, still), images, atol=1e-5, rtol=0)


def test_around_a_picture_it_is_gray() -> None:
    away = torch.tensor([[[1.0, 0, 3], [0, 1, 0]]])
    torch.testing.assert_close(ascent.view(torch.ones(1, 1, 8, 8), away), torch.full((1, 1, 8, 8), 0.5))


def test_turns_scales_and_shifts_stay_in_their_ranges_and_fill_them() -> None:
    maps = torch.cat([ascent.draw(0, range(200), step, 64) for step in range(3)]).double().numpy()
    scale = 1 / np.sqrt(np.linalg.det(maps[:, :, :2]))
    angle = np.degrees(np.arctan2(maps[:, 1, 0], maps[:, 0, 0]))
    shift = np.abs(maps[:, :, 2]) / 2 * 64  # pixels
    for values, low, high in ((scale, 0.75, 1.25), (angle, -15, 15)):
        assert low - 1e-4 <= values.min() < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < values.max() <= high + 1e-4
    assert 64 / 12 < shift.max() < 64 * (1 / 12 + 1 / 32 * 2**0.5 / 0.75)


def test_draws_depend_on_seed_number_and_step_alone() -> None:
    both = ascent.draw(0, [4, 5], 7, 8)
    torch.testing.assert_close(both[1:], ascent.draw(0, [5], 7, 8), rtol=0, atol=0)
    others = ascent.draw(0, [5], 8, 8), ascent.draw(1, [5], 7, 8), both[:1]
    assert not any(torch.equal(both[1:], other) for other in others)
