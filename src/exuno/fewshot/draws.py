"""The numbers of ``data.rng`` on the device where the draws are, bit by bit the same."""

import torch
from torch import Tensor

from exuno.data import rng


def signed(word: int) -> int:
    """A 64-bit word as torch's int64 holds it; sums and products are the same modulo 2^64."""
    return word - (1 << 64) if word >= 1 << 63 else word


GOLDEN, FIRST, SECOND = map(signed, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def shifted(x: Tensor, places: int) -> Tensor:
    """Logical shift to the right: int64 would keep its sign."""
    return (x >> places) & ((1 << (64 - places)) - 1)


def mixed(x: Tensor) -> Tensor:
    """SplitMix64's finaliser."""
    x = (x ^ shifted(x, 30)) * FIRST
    x = (x ^ shifted(x, 27)) * SECOND
    return x ^ shifted(x, 31)


def uniforms(seed: int, stream: str, index: Tensor, slots: int, first: int = 0) -> Tensor:
    """:func:`exuno.data.rng.uniforms` for an index int64 [N] on any device: float64 [N, slots] there."""
    key = signed(int(rng._key(seed, stream)[0]))
    row = mixed((index.view(-1, 1) * GOLDEN + GOLDEN) ^ key)
    slot = torch.arange(first + 1, first + slots + 1, device=index.device)
    return shifted(mixed(row + slot * GOLDEN), 11).double() * 2.0**-53
