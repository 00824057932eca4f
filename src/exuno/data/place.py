"""Recordings of any length brought to one: cut, or laid into silence."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data import rng
from exuno.data.base import Images
from exuno.engine.options import Augment


def place(
    recordings: Images,
    length: int,
    options: Augment | None = None,
    seed: int = 0,
    draws: NDArray[np.int64] | None = None,
) -> Tensor:
    """Cut each recording to ``length`` samples, or surround it with silence.

    Args:
        recordings: float32 [B, 1, S], or a list of B [1, s].
        length: samples of the result.
        options: of training, whose ``shift`` (a fraction of ``length``) moves the window about the middle; None for a
            test, which takes the middle.
        seed: the run's seed.
        draws: the number of each draw, int64 [B].

    Returns:
        float32 [B, 1, length].
    """
    out = torch.zeros((len(recordings), 1, length))
    moves = np.zeros(len(recordings))
    if options is not None and options.shift and draws is not None:
        moves = options.shift * (2 * rng.uniforms(seed, "augment", draws, 1, 6)[:, 0] - 1)
    for row, recording in enumerate(recordings):
        have = recording.shape[-1]
        first = (have - length) // 2 + round(moves[row] * length)  # of the window, in the recording
        start, stop = max(0, first), min(have, first + length)
        if start < stop:
            out[row, :, start - first : stop - first] = recording[:, start:stop]
    return out
