"""Pictures as spectra: what is optimised is the Fourier transform of a picture in decorrelated colours (Olah,
Mordvintsev, Schubert: Feature Visualization, Distill 2017, doi 10.23915/distill.00007).

N pictures of C channels and S x S pixels; their spectra are float32 [N, C, S, S // 2 + 1, 2], real and imaginary part.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from exuno.data import rng

STREAM = "explain neurons"
START = 0.01
"""Standard deviation of a spectrum at the start."""
LOUDNESS = 4.0
"""What the pictures are divided by, so that a step of the optimizer is small before the sigmoid."""
COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
"""A root of the covariance of RGB values in ImageNet, as Lucid states it: row for row what red, green and blue are made
of. The columns are brightness, and the two directions in which colours differ."""


def start(seed: int, pictures: Sequence[int], channels: int, size: int) -> Tensor:
    """Spectra of noise; that of a picture depends on the seed and its number alone."""
    shape = (channels, size, size // 2 + 1, 2)
    drawn = [rng.generator(seed, f"{STREAM}, start", number).normal(0, START, shape) for number in pictures]
    return torch.from_numpy(np.stack(drawn)).float()


def envelope(size: int, device: torch.device | None = None) -> Tensor:
    """What a spectrum of noise is multiplied by to have the amplitudes of natural pictures, 1 / frequency: [S, S // 2 +
    1]. The mean counts as the lowest frequency."""
    rows, columns = torch.fft.fftfreq(size, device=device), torch.fft.rfftfreq(size, device=device)
    frequency = (rows[:, None] ** 2 + columns**2).sqrt()
    return 1 / frequency.clamp_min(1 / size)


def correlation(device: torch.device | None = None) -> Tensor:
    """Decorrelated colours -> RGB before the sigmoid, [3, 3]; the longest column has length 1."""
    matrix = torch.tensor(COLOURS, device=device)
    return matrix / matrix.norm(dim=0).max()


def pixels(spectra: Tensor) -> Tensor:
    """Spectra -> pictures [N, C, S, S] in (0, 1). Gray ones have no colours to decorrelate."""
    size = spectra.shape[2]
    scaled = torch.view_as_complex(spectra.contiguous()) * envelope(size, spectra.device)
    waves = torch.fft.irfft2(scaled, s=(size, size), norm="ortho") / LOUDNESS
    if waves.shape[1] == 3:
        waves = torch.einsum("rc,nchw->nrhw", correlation(spectra.device), waves)
    return waves.sigmoid()
