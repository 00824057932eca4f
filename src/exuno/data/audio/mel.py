"""Recordings of any length brought to one, and their log-mel spectrograms."""

import numpy as np
import torch
from torch import Tensor, nn

from exuno.data import rng
from exuno.data.augmentation.augment import SHIFT, STREAM
from exuno.data.base import Draws, Images
from exuno.engine.errors import ExunoError
from exuno.engine.options import Augment, MelSpec

TOP = 7800.0  # hertz
FLOOR = 1e-5  # of the power, next to its mean: silence between sounds is not enlarged into noise


def mel(hertz: Tensor) -> Tensor:
    """Pitch in mel (O'Shaughnessy, 1987): 2595 log10(1 + f / 700)."""
    return 2595 * torch.log10(1 + hertz / 700)


def filters(rate: int, size: int, sound: MelSpec) -> Tensor:
    """Triangular bands, equally wide in mel: float32 [mels, size // 2 + 1]; each reaches 1."""
    top = min(TOP, rate / 2)
    low, high = mel(torch.tensor([sound.low, top])).tolist()
    edges = torch.linspace(low, high, sound.mels + 2)
    edges = 700 * (10 ** (edges / 2595) - 1)
    line = torch.linspace(0, rate / 2, size // 2 + 1)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    return torch.minimum((line - low) / (middle - low), (high - line) / (high - middle)).clamp_(min=0)


class LogMel(nn.Module):
    """Recordings [B, 1, S] in [-1, 1] at ``rate`` -> spectrograms [B, 1, mels, 1 + S // hop], each with mean 0 and
    deviation 1: how loud a recording is does not matter.

    The logarithm is that of the power in a band relative to the recording's mean, with a floor.

    Raises:
        ExunoError: bands so narrow that no frequency of the transform falls into one.
    """

    window: Tensor
    bands: Tensor

    def __init__(self, rate: int, sound: MelSpec) -> None:
        super().__init__()
        wide = max(2, round(sound.window * rate))
        self.hop, self.size = max(1, round(sound.hop * rate)), 1 << (wide - 1).bit_length()
        bands = filters(rate, self.size, sound)
        while not bands.any(1).all() and self.size < 8192:  # a longer transform of the same window
            self.size *= 2
            bands = filters(rate, self.size, sound)
        if not bands.any(1).all():
            raise ExunoError(f"{sound.mels} mel bands up to {rate // 2} Hz are too narrow", "Give fewer --mel.mels.")
        self.register_buffer("window", torch.hann_window(wide), persistent=False)
        self.register_buffer("bands", bands, persistent=False)

    def forward(self, recordings: Tensor) -> Tensor:
        """See the class."""
        waves = recordings[:, 0].float()
        short = self.size + 1 - waves.shape[1]
        if short > 0:  # padding by reflection needs more than half a transform
            waves = torch.nn.functional.pad(waves, (0, short))
        with torch.autocast(waves.device.type, enabled=False):
            found = torch.stft(waves, self.size, self.hop, len(self.window), self.window, return_complex=True)
            power = self.bands @ found.abs().square()
            power = power[..., : 1 + recordings.shape[-1] // self.hop]
            loud = power.mean((1, 2), keepdim=True)
            level = torch.log(power + FLOOR * loud + 1e-12)
            level = level - level.mean((1, 2), keepdim=True)
            # The root of a silent recording's 0 has no slope: a little inside it, too.
            return (level / (level.square().mean((1, 2), keepdim=True) + 1e-6).sqrt())[:, None]


def pad_or_trim(
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
