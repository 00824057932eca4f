"""Recordings -> log-mel spectrograms, the pictures that image networks hear with."""

import torch
from torch import Tensor, nn

from exuno.engine.errors import ExunoError
from exuno.engine.options import Sound

TOP = 7800.0  # hertz
FLOOR = 1e-5  # of the power, next to its mean: silence between sounds is not enlarged into noise


def mel(hertz: Tensor) -> Tensor:
    """Pitch in mel (O'Shaughnessy, 1987): 2595 log10(1 + f / 700)."""
    return 2595 * torch.log10(1 + hertz / 700)


def filters(rate: int, size: int, sound: Sound) -> Tensor:
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

    def __init__(self, rate: int, sound: Sound) -> None:
        super().__init__()
        wide = max(2, round(sound.window * rate))
        self.hop, self.size = max(1, round(sound.hop * rate)), 1 << (wide - 1).bit_length()
        bands = filters(rate, self.size, sound)
        while not bands.any(1).all() and self.size < 8192:  # a longer transform of the same window
            self.size *= 2
            bands = filters(rate, self.size, sound)
        if not bands.any(1).all():
            raise ExunoError(f"{sound.mels} mel bands up to {rate // 2} Hz are too narrow", "Give fewer --sound.mels.")
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
