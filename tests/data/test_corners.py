"""Views of test images, against torchvision."""

import pytest
import torch
from torchvision.transforms.functional import center_crop, five_crop, hflip, ten_crop

from exuno.data.images.corners import views_of


@pytest.mark.parametrize("side", [(8, 8), (7, 7), (6, 3)])
@pytest.mark.parametrize("count", [1, 2, 5, 10])
def test_views_are_those_of_torchvision(side: tuple[int, int], count: int) -> None:
    x = torch.rand(3, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    centre = center_crop(x, list(side))
    expected = {
        1: (centre,),
        2: (centre, center_crop(hflip(x), list(side))),
        5: five_crop(x, list(side)),
        10: ten_crop(x, list(side)),
    }
    found = list(views_of(x, side, count))
    assert len(found) == count
    assert torch.equal(torch.stack(found), torch.stack(expected[count]))
