"""Which patches of a view are hidden from the student: pure functions of (seed, draw number, number of the view)."""

import numpy as np
from numpy.typing import NDArray

from exuno.data import rng
from exuno.fewshot.options import Mask

TRIES = 10
STEPS = 120  # rectangles that are tried for one mask; they run out long before
PICK, SHARE, PATCHES = 0, 1, 10


def make_masks(
    draws: NDArray[np.int64], options: Mask, grid: tuple[int, int], seed: int, views: int = 2
) -> NDArray[np.bool_]:
    """Masks of the global views, bool [views, B, rows * columns].

    Each view draws one of the ratios, and around it a share of its patches (Zhou et al., ICLR 2022, section 4.1).

    Args:
        draws: number of each draw, int64 [B].
        options: what to do.
        grid: patches (down, across).
        seed: the run's seed.
        views: number of views.
    """
    masks = np.empty((views, len(draws), grid[0] * grid[1]), np.bool_)
    for view in range(views):
        stream = f"mask/{view}"
        numbers = rng.uniforms(seed, stream, draws, 2)
        pick = (numbers[:, PICK] * len(options.ratio)).astype(np.int64)
        ratio, spread = np.asarray(options.ratio)[pick], np.asarray(options.spread)[pick]
        wanted = (ratio + spread * (2 * numbers[:, SHARE] - 1)) * masks.shape[2]
        if options.shape == "random":
            order = rng.uniforms(seed, stream, draws, masks.shape[2], PATCHES).argsort(1).argsort(1)
            masks[view] = order < wanted.astype(np.int64)[:, None]
        else:
            rectangles = rng.uniforms(seed, stream, draws, 4 * STEPS, PATCHES).reshape(-1, STEPS, 4)
            masks[view] = blocks(wanted, grid, options.aspect, rectangles).reshape(len(draws), -1)
    return masks


def blocks(
    wanted: NDArray[np.float64], grid: tuple[int, int], aspect: float, numbers: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Block-wise masking (Bao et al., BEiT, ICLR 2022, algorithm 1): rectangles until ``wanted`` patches are hidden.

    A rectangle that would hide too many or no further patches is drawn again; after 10 in a row the mask stays as it
    is.

    Args:
        wanted: patches to hide in each mask, at most, [B].
        grid: patches (down, across).
        aspect: aspect ratios are log-uniform in [aspect, 1 / aspect].
        numbers: uniform numbers [B, steps, 4]: area, aspect ratio, top, left.

    Returns:
        bool [B, down, across].
    """
    rows, columns = grid
    hidden = np.zeros((len(wanted), rows, columns), np.bool_)
    failures = np.zeros(len(wanted), np.int64)
    least = (min(grid) // 3) ** 2
    y, x = np.arange(rows)[:, None], np.arange(columns)
    for step in range(numbers.shape[1]):
        left_over = wanted - hidden.sum((1, 2))
        active = np.flatnonzero((left_over > 0) & (failures < TRIES))
        if not len(active):
            break
        area, ratio, top, left = numbers[active, step].T
        most = left_over[active]
        area = least + (most - least) * area
        ratio = np.exp(np.log(aspect) * (1 - 2 * ratio))
        h = np.rint(np.sqrt(np.maximum(area * ratio, 0))).astype(np.int64)
        w = np.rint(np.sqrt(np.maximum(area / ratio, 0))).astype(np.int64)
        top = (top * (rows - h + 1)).astype(np.int64)[:, None, None]
        left = (left * (columns - w + 1)).astype(np.int64)[:, None, None]
        inside = (y >= top) & (y < top + h[:, None, None]) & (x >= left) & (x < left + w[:, None, None])
        further = (inside & ~hidden[active]).sum((1, 2))
        good = (h < rows) & (w < columns) & (further > 0) & (further <= most)
        hidden[active[good]] |= inside[good]
        failures[active] = np.where(good, 0, failures[active] + 1)
    return hidden
