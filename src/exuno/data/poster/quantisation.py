"""Numbers of few bits: pixels and learned labels rounded, packed into bytes, and rounded during the distillation.

A learned label array has no range of its own: labels of patches are normalised, so its scale is free. Each cell is
scaled until its largest label is the highest level, and levels are its values: a patch that lies in one cell loses
nothing by it, one of several cells takes them as equally strong.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.engine.errors import ExunoError

ROUNDS = 30
"""Most rounds in which a range is fitted; in a handful it moves no more."""


def quantise(values: Tensor, bits: int = 8) -> tuple[NDArray[np.uint8], tuple[float, ...], tuple[float, ...]]:
    """Round a poster to ``bits`` a channel.

    At 8 bits they are spread over what each channel spans, and the error is at most (high - low) / 510. Below, the
    range of each channel is that of :func:`fitted`, and what lies outside it is cut off.

    Args:
        values: float [C, H, W].
        bits: 2, 4 or 8.

    Returns:
        Pixels uint8 [C, H, W], multiples of 255 / (2^bits - 1), and the values (low, high) of 0 and 255 in each
        channel.

    Raises:
        ExunoError: values that are not finite.
    """
    values = values.detach().cpu().double()
    if not values.isfinite().all():
        raise ExunoError("the poster holds values that are not finite", "Distill it anew with a lower --optim.lr.")
    levels, low, high = _levels(values, bits)
    pixels = (levels * (255 // top(bits))).to(torch.uint8).numpy()
    return pixels, tuple(low.ravel().tolist()), tuple(high.ravel().tolist())


def restored(pixels: NDArray[np.uint8], low: Sequence[float], high: Sequence[float]) -> Tensor:
    """What :func:`quantise` rounded: float32 [C, H, W], ``low`` where a pixel is 0 and ``high`` where it is 255."""
    bounds = np.array(low)[:, None, None], np.array(high)[:, None, None]
    return torch.from_numpy((bounds[0] + pixels / 255 * (bounds[1] - bounds[0])).astype(np.float32))


def rounded(values: Tensor, bits: int) -> Tensor:
    """A poster [C, H, W] as it will be stored, by a straight-through estimator: its gradient is that of ``values``
    (Bengio, Léonard and Courville, arXiv 1308.3432)."""
    with torch.no_grad():
        levels, low, high = _levels(values, bits)
        error = low + levels * (high - low) / top(bits) - values
    return values + error


def quantise_labels(array: Tensor, bits: int) -> NDArray[np.float16]:
    """A non-negative label array [K, h, w] as it is stored: at 16 bits a float16 each, below whole numbers from 0 to
    2^bits - 1, the largest label of each cell being the latter."""
    levels = array if bits == 16 else rounded_labels(array, bits).round()
    return levels.detach().cpu().numpy().astype(np.float16)


def rounded_labels(array: Tensor, bits: int) -> Tensor:
    """A label array [K, h, w] as it will be stored, in levels; see :func:`rounded`. The scales pass no gradient."""
    with torch.no_grad():
        scale = top(bits) / array.amax(0).clamp(min=torch.finfo(array.dtype).tiny * top(bits))
        levels = (array * scale).round()
    scaled = array * scale
    return scaled + (levels - scaled).detach()


def top(bits: int) -> int:
    """The highest level."""
    return (1 << bits) - 1


def _levels(values: Tensor, bits: int) -> tuple[Tensor, Tensor, Tensor]:
    """Whole levels [C, H, W] and their range, each [C, 1, 1]."""
    low, high = values.amin((1, 2), keepdim=True), values.amax((1, 2), keepdim=True)
    if bits < 8:
        low, high = fitted(values, low, high, bits)
    return _nearest(values, low, high, bits), low, high


def _nearest(values: Tensor, low: Tensor, high: Tensor, bits: int) -> Tensor:
    span = torch.where(high > low, high - low, 1)
    return ((values - low) / span * top(bits)).round().clamp(0, top(bits))


def fitted(values: Tensor, low: Tensor, high: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """The range of each channel at which evenly spaced levels lie nearest to its values in the least squares.

    Lloyd's algorithm: values take the nearest level, then the best straight line through level and value makes new
    levels. It starts from all that the channel spans, so values that lie on levels, the first and the last among them,
    keep them.

    Args:
        values: float [C, H, W].
        low: where to start, [C, 1, 1].
        high: likewise.
        bits: of a level.
    """
    for _ in range(ROUNDS):
        levels = _nearest(values, low, high, bits)
        middle, mean = levels.mean((1, 2), keepdim=True), values.mean((1, 2), keepdim=True)
        spread = (levels - middle).square().sum((1, 2), keepdim=True)
        slope = ((levels - middle) * (values - mean)).sum((1, 2), keepdim=True) / torch.where(spread > 0, spread, 1)
        some = slope > 0
        low = torch.where(some, mean - slope * middle, low)
        high = torch.where(some, low + slope * top(bits), high)
    return low, high


def packed(levels: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Levels below 2^bits, of 2, 4 or 8 bits, in as few bytes as hold them, the first in the highest bits: [n] of
    ceil(size * bits / 8)."""
    each = np.unpackbits(levels.reshape(-1, 1), axis=1)[:, 8 - bits :]
    return np.packbits(each)


def unpacked(array: NDArray[np.uint8], bits: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """What :func:`packed` packed. Raises ValueError for another number of bytes."""
    count = math.prod(shape)
    if array.dtype != np.uint8 or array.shape != (byte_size(count, bits),):
        raise ValueError(f"{count} numbers of {bits} bits are not in {array.dtype} {list(array.shape)}")
    each = np.unpackbits(array)[: count * bits].reshape(count, bits)
    return np.packbits(np.pad(each, ((0, 0), (8 - bits, 0))), axis=1).reshape(shape)


def byte_size(count: int, bits: int) -> int:
    """Bytes that hold ``count`` numbers of ``bits`` bits."""
    return (count * bits + 7) // 8


def coded_size(levels: NDArray[np.uint8], bits: int) -> int:
    """Bytes that an entropy coder needs for levels below 2^bits: how often each occurs, then which of all arrangements
    of these it is (enumerative coding, Cover, IEEE Trans. Inf. Theory 1973). An arithmetic coder whose counts start at
    one and grow with what it has coded comes within a byte of it; neither looks at neighbours.
    """
    counts = np.bincount(levels.ravel(), minlength=1 << bits).tolist()
    size, kinds = sum(counts), len(counts)
    nats = math.lgamma(size + kinds) - math.lgamma(kinds) - sum(math.lgamma(count + 1) for count in counts)
    return math.ceil(nats / math.log(2) / 8 - 1e-9)
