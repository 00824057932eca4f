"""Recordings of any length brought to one: cut, or laid into silence."""

import numpy as np
import torch
from torch import Tensor

from exuno.data import rng
from exuno.data.augment import SHIFT, STREAM
from exuno.data.base import Draws, Images
from exuno.engine.options import Augment


def place(
    recordings: Images,
    length: int,
    options: Augment | None = None,
    seed: int = 0,
    draws: Draws | None = None,
) -> Tensor:
    """Cut each recording to ``length`` samples, or surround it with silence.

    Args:
        recordings: float32 [B, 1, S], or a list of B [1, s].
        length: samples of the result.
        options: of training, whose ``shift`` (a fraction of ``length``) moves the window about the middle; None for a
            test, which takes the middle.
        seed: the run's seed.
        draws: the number of each draw, int64 [B]; in a tensor, recordings are one, on its device.

    Returns:
        float32 [B, 1, length].
    """
    if isinstance(draws, Tensor):
        assert isinstance(recordings, Tensor)
        return _place_batch(recordings, length, options, seed, draws)
    out = torch.zeros((len(recordings), 1, length))
    moves = np.zeros(len(recordings))
    if options is not None and options.shift and draws is not None:
        moves = options.shift * (2 * rng.uniforms(seed, STREAM, draws, 1, SHIFT)[:, 0] - 1)
    for row, recording in enumerate(recordings):
        have = recording.shape[-1]
        first = (have - length) // 2 + round(moves[row] * length)  # of the window, in the recording
        start, stop = max(0, first), min(have, first + length)
        if start < stop:
            out[row, :, start - first : stop - first] = recording[:, start:stop]
    return out


def _place_batch(recordings: Tensor, length: int, options: Augment | None, seed: int, draws: Tensor) -> Tensor:
    """:func:`place` as one gather; no number is read from the device."""
    have = recordings.shape[2]
    first = torch.full_like(draws, (have - length) // 2)
    if options is not None and options.shift:
        moves = options.shift * (2 * rng.uniforms(seed, STREAM, draws, 1, SHIFT)[:, 0] - 1)
        first = first + (moves * length).round().long()
    index = first[:, None, None] + torch.arange(length, device=draws.device)
    inside = (index >= 0) & (index < have)
    return torch.where(inside, recordings.gather(2, index.clamp(0, have - 1)), 0.0)
