"""Which patches of a view are hidden from the student: masks made on the device of the training, without asking it
anything."""

import math

import torch
from torch import Tensor

from exuno.data import rng
from exuno.engine.devices import reads_are_free
from exuno.fewshot.options import Mask

MASK_TRIES = 10
STEPS = 80  # rectangles that are tried for one mask; one in ten million is not done by then, and stays a little smaller
PICK, SHARE, PATCHES = 0, 1, 10


def make_masks(draws: Tensor, options: Mask, grid: tuple[int, int], seed: int, views: int = 2) -> Tensor:
    """Masks of the global views, bool [views, B, rows * columns].

    Each view draws one of the ratios, and around it a share of its patches (Zhou et al., ICLR 2022, section 4.1).

    Args:
        draws: number of each draw, int64 [B].
        options: what to do.
        grid: patches (down, across).
        seed: the run's seed.
        views: number of views.
    """
    patches, streams = grid[0] * grid[1], [f"mask/{view}" for view in range(views)]

    def drawn(slots: int, first: int = 0) -> Tensor:
        return torch.cat([rng.uniforms(seed, stream, draws, slots, first) for stream in streams])

    numbers = drawn(2)
    pick = (numbers[:, PICK] * len(options.ratio)).long()
    ratio, spread = (chosen(values, pick, numbers.dtype) for values in (options.ratio, options.spread))
    wanted = (ratio + spread * (2 * numbers[:, SHARE] - 1)) * patches
    if options.shape == "random":
        order = drawn(patches, PATCHES).argsort(1).argsort(1)
        return (order < wanted.long()[:, None]).view(views, len(draws), patches)
    rectangles = drawn(4 * STEPS, PATCHES).view(-1, STEPS, 4)
    return blocks(wanted, grid, options.aspect, rectangles).view(views, len(draws), patches)


def chosen(values: tuple[float, ...], pick: Tensor, dtype: torch.dtype) -> Tensor:
    """The value of each number in ``pick``, from a few that the host knows."""
    found = torch.full(pick.shape, values[0], dtype=dtype, device=pick.device)
    for number, value in enumerate(values[1:], 1):
        found = torch.where(pick == number, value, found)
    return found


def most_masked(options: Mask, patches: int) -> int:
    """How many of the patches of a view are hidden at most."""
    share = max(ratio + spread for ratio, spread in zip(options.ratio, options.spread, strict=False))
    return min(patches, max(0, math.floor(share * patches) + 1))  # 1: products are rounded


def blocks(wanted: Tensor, grid: tuple[int, int], aspect: float, numbers: Tensor) -> Tensor:
    """Block-wise masking (Bao et al., BEiT, ICLR 2022, algorithm 1): rectangles until ``wanted`` patches are hidden.

    A rectangle that would hide too many or no further patches is drawn again; after 10 in a row the mask stays as it
    is.

    Args:
        wanted: patches to hide in each mask, at most, floating [B].
        grid: patches (down, across).
        aspect: aspect ratios are log-uniform in [aspect, 1 / aspect].
        numbers: uniform numbers [B, steps, 4]: area, aspect ratio, top, left.

    Returns:
        bool [B, down, across].
    """
    (rows, columns), device = grid, wanted.device
    hidden = torch.zeros(len(wanted), rows, columns, dtype=torch.bool, device=device)
    count, failures = (torch.zeros(len(wanted), dtype=torch.int64, device=device) for _ in range(2))
    least = (min(grid) // 3) ** 2
    y, x = torch.arange(rows, device=device)[:, None], torch.arange(columns, device=device)
    ratios = torch.exp(math.log(aspect) * (1 - 2 * numbers[:, :, 1]))
    for step in range(numbers.shape[1]):
        most = wanted - count
        active = (most > 0) & (failures < MASK_TRIES)
        if reads_are_free(device) and not active.any():
            break
        area, ratio = least + (most - least) * numbers[:, step, 0], ratios[:, step]
        h = (area * ratio).clamp(min=0).sqrt().round().long()
        w = (area / ratio).clamp(min=0).sqrt().round().long()
        top = (numbers[:, step, 2] * (rows - h + 1)).long()
        left = (numbers[:, step, 3] * (columns - w + 1)).long()
        down = (y >= top[:, None, None]) & (y < (top + h)[:, None, None])
        inside = down & (x >= left[:, None, None]) & (x < (left + w)[:, None, None])
        further = (inside & ~hidden).sum((1, 2))
        good = active & (h < rows) & (w < columns) & (further > 0) & (further <= most)
        hidden |= inside & good[:, None, None]
        count += further * good
        failures = torch.where(good, 0, failures + active)
    return hidden
