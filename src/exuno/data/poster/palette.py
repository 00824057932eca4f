"""Pixels that are numbers of a palette: 2^bits colours which all pixels share, in the place of evenly spaced levels of
each channel. Colours are three numbers at the price of one, and gray levels lie where the values are."""

import torch
from torch import Tensor

ROUNDS = 20
"""Of Lloyd's algorithm; afterwards colours hardly move."""


def fitted(values: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """The palette that suits a poster, by Lloyd's algorithm (k-means; IEEE Trans. Inf. Theory 1982).

    It starts from the colour nearest to the mean and then, one after the other, that which lies farthest from all
    before (Gonzalez, Theor. Comput. Sci. 1985), so it is a function of the values alone. Colours are float16, as they
    are stored.

    Args:
        values: float [C, H, W].
        bits: 2, 4 or 8.

    Returns:
        Colours, float of the type of ``values`` [2^bits, C], and the number of the nearest one at each place, int64
        [H, W].
    """
    points = values.detach().flatten(1).T  # [N, C]
    colours = _spread(points, 1 << bits)
    for _ in range(ROUNDS):
        member = torch.nn.functional.one_hot(_nearest(points, colours), len(colours)).to(points)
        count = member.sum(0)[:, None]
        colours = torch.where(count > 0, member.T @ points / count.clamp(min=1), colours)
    colours = colours.half().to(points)
    return colours, _nearest(points, colours).view(values.shape[1:])


def _spread(points: Tensor, count: int) -> Tensor:
    first = (points - points.mean(0)).square().sum(1).argmin()
    chosen = [points.index_select(0, first[None])]
    distance = (points - chosen[0]).square().sum(1)
    for _ in range(count - 1):
        chosen.append(points.index_select(0, distance.argmax()[None]))
        distance = torch.minimum(distance, (points - chosen[-1]).square().sum(1))
    return torch.cat(chosen)


def _nearest(points: Tensor, colours: Tensor) -> Tensor:
    channels = [(points[:, c, None] - colours[:, c]).square() for c in range(points.shape[1])]  # each [N, k]
    return torch.stack(channels).sum(0).argmin(1)
