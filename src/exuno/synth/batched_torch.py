"""The sampler as a batched torch program: the same patches made on any device, with no loop over samples.

Parameters and geometry come from the same code as on the CPU; here are only the two bilinear readings and the colour
jitter. Agrees with OpenCV's path up to rounding; pixels may differ by more where the sharp black border passes within a
thousandth of a pixel of their centre.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from exuno.data.constants import LUMA
from exuno.engine.devices import send
from exuno.synth.color import FLOOR, hue_shifts, saturation_matrices
from exuno.synth.geometry import target_side
from exuno.synth.image import Sampler
from exuno.synth.parameters import BRIGHTNESS, CONTRAST, HUE, SATURATION, Parameters


class TorchSampler:
    """``TorchSampler(sampler, device)(indices)`` is uint8 [N, 3, size, size] on the device.

    Args:
        sampler: the sampler whose patches are wanted.
        device: where the photograph lies and the patches are made.
    """

    def __init__(self, sampler: Sampler, device: torch.device | str = "cpu") -> None:
        self.sampler, self.device = sampler, torch.device(device)
        levels = sampler.levels
        self.pixels = torch.cat([torch.from_numpy(level[..., :3].reshape(-1, 3)) for level in levels]).to(self.device)
        self.widths = np.array([level.shape[1] for level in levels])
        self.starts = np.cumsum([0] + [level.shape[0] * level.shape[1] for level in levels])[:-1]

    def __call__(self, indices: ArrayLike) -> Tensor:
        return self.render(self.sampler.draw(indices))

    def render(self, drawn: Parameters) -> Tensor:
        """The patches with these parameters, uint8 [N, 3, size, size]."""
        if not len(drawn):
            size = self.sampler.options.size
            return torch.empty(0, 3, size, size, dtype=torch.uint8, device=self.device)
        patches = _jitter(self._warp(drawn), drawn)
        return patches.to(torch.uint8).permute(0, 3, 1, 2).contiguous()

    def _to(self, array: NDArray, dtype: torch.dtype) -> Tensor:
        return send(torch.from_numpy(np.ascontiguousarray(array)).to(dtype), self.device)

    def _warp(self, drawn: Parameters) -> Tensor:
        how, size = self.sampler.plan(drawn), self.sampler.options.size
        target = target_side(size)
        n = len(drawn)

        # The crop, resized to the intermediate square: the two axes are independent.
        extent = self._to(how.roi[:, 2:] - how.roi[:, :2], torch.long)[:, :, None]  # [N, 2, 1]: width, height
        steps = np.stack([how.resize[:, 0, 0], how.resize[:, 1, 1]], 1)[:, :, None] * np.arange(target)
        x, y = self._to(steps + how.resize[:, :, 2:], torch.float32).unbind(1)  # [N, target] each
        first = self.starts[how.level] + how.roi[:, 1] * self.widths[how.level] + how.roi[:, 0]
        origin = self._to(first, torch.long)[:, None, None]
        stride = self._to(self.widths[how.level], torch.long)[:, None, None]
        square = _bilinear(self.pixels, origin, stride, x[:, None, :], y[:, :, None], extent[:, :1], extent[:, 1:])

        # The patch, read from the intermediate square.
        u = torch.arange(size, device=self.device, dtype=torch.float32)
        warp = self._to(how.warp, torch.float32)[:, :, :, None, None]
        x, y = (warp[:, axis, 0] * u + warp[:, axis, 1] * u[:, None] + warp[:, axis, 2] for axis in (0, 1))
        origin = torch.arange(n, device=self.device)[:, None, None] * target**2
        patch = _bilinear(square.reshape(-1, 3), origin, target, x, y, target, target)
        inside = (x >= -0.5) & (x < target - 0.5) & (y >= -0.5) & (y < target - 0.5)
        return patch * inside[..., None]


class TorchMixture:
    """Several photographs as one source: sample i comes from photograph i mod n, as in ``exuno.synth.mixture``.

    Args:
        samplers: the samplers of the photographs, whose patches are of one size.
        device: where the patches are made.
    """

    def __init__(self, samplers: Sequence[Sampler], device: torch.device | str = "cpu") -> None:
        self.samplers = [TorchSampler(sampler, device) for sampler in samplers]

    def __call__(self, indices: ArrayLike) -> Tensor:
        """The patches with these indices, uint8 [N, 3, size, size] on the device."""
        indices = np.asarray(indices, np.int64).reshape(-1)
        if len(self.samplers) == 1:
            return self.samplers[0](indices)
        which = indices % len(self.samplers)
        order = np.argsort(which, kind="stable")
        parts = [sampler(indices[which == number]) for number, sampler in enumerate(self.samplers)]
        place = send(torch.from_numpy(np.argsort(order)), parts[0].device)
        return torch.cat(parts).index_select(0, place)


def _bilinear(
    pixels: Tensor,
    origin: Tensor,
    stride: Tensor | int,
    x: Tensor,
    y: Tensor,
    width: Tensor | int,
    height: Tensor | int,
) -> Tensor:
    """Read flat ``pixels`` [P, 3] at (x, y) of rectangles that begin at ``origin``; the border pixels go on for ever.

    Returns:
        float32 [N, h, w, 3], whole numbers, as 8-bit images have.
    """
    left, top = x.floor(), y.floor()
    dx, dy = (x - left)[..., None], (y - top)[..., None]
    left, top = left.long(), top.long()

    def at(column: Tensor, row: Tensor) -> Tensor:
        column = column.clamp(min=0).minimum(torch.as_tensor(width - 1, device=x.device))
        row = row.clamp(min=0).minimum(torch.as_tensor(height - 1, device=x.device))
        return pixels[origin + row * stride + column].float()

    upper = at(left, top).lerp(at(left + 1, top), dx)
    lower = at(left, top + 1).lerp(at(left + 1, top + 1), dx)
    return upper.lerp(lower, dy).round()


def _jitter(patches: Tensor, drawn: Parameters) -> Tensor:
    """Colour jitter of float32 [N, size, size, 3] patches in [0, 255]; see ``exuno.synth.color``."""
    factors = send(torch.from_numpy(drawn.factors).float(), patches.device)[:, :, None, None, None]
    shifts = send(torch.from_numpy(hue_shifts(drawn.factors[:, HUE])).int(), patches.device)[:, None, None]
    saturate = send(torch.from_numpy(saturation_matrices(drawn.factors[:, SATURATION])), patches.device)
    luma = torch.tensor(LUMA, device=patches.device)
    for turn in range(4):
        for step in (BRIGHTNESS, CONTRAST, SATURATION, HUE):
            chosen = np.flatnonzero(drawn.jitter & (drawn.order[:, turn] == step))
            rows = send(torch.from_numpy(chosen), patches.device)
            if not len(rows):
                continue
            old = patches[rows]
            if step == HUE:
                new = _turn_hue(old.int(), shifts[rows])
            elif step == SATURATION:
                new = torch.einsum("nijc,ndc->nijd", old, saturate[rows, :, :3]) + saturate[rows, None, None, :, 3]
            else:
                base = 0 if step == BRIGHTNESS else ((old.mean((1, 2)) @ luma) + 0.5).floor()[:, None, None, None]
                new = old * factors[rows, step] + (1 - factors[rows, step]) * base + FLOOR
            patches[rows] = new.round().clamp(0, 255)
    return patches


def _turn_hue(rgb: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue of int32 [N, h, w, 3] by steps of a circle of 256; rounds as OpenCV's 8-bit HSV does."""
    red, green, blue = rgb.unbind(-1)
    value = rgb.amax(-1)
    chroma = value - rgb.amin(-1)
    # OpenCV divides by tables of 12 fractional bits.
    saturation = (chroma * _reciprocal(255.0, value) + 2048) >> 12
    sixth = torch.where(
        value == red,
        green - blue,
        torch.where(value == green, blue - red + 2 * chroma, red - green + 4 * chroma),
    )
    hue = (((sixth * _reciprocal(256.0 / 6, chroma) + 2048) >> 12) + shift) % 256

    v, s = value / 255, saturation / 255
    place = hue * (6 / 255)  # OpenCV's circle has 256 steps on the way there and 255 on the way back
    sector = place.floor()
    f = place - sector
    shades = torch.stack([v, v * (1 - s), v * (1 - s * f), v * (1 - s * (1 - f))], -1)
    # Which shade red, green and blue take in each sixth of the circle.
    table = torch.tensor([[0, 3, 1], [2, 0, 1], [1, 0, 3], [1, 2, 0], [3, 1, 0], [0, 1, 2]], device=rgb.device)
    return (shades.gather(-1, table[sector.long() % 6]) * 255).round()


def _reciprocal(numerator: float, denominator: Tensor) -> Tensor:
    numbers = torch.arange(256, device=denominator.device, dtype=torch.float64).clamp(min=1)
    table = (numerator * 4096 / numbers).round().int()
    table[0] = 0
    return table[denominator]
