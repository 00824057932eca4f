"""The numbers of ``exuno.data.rng`` on any device: its 64-bit words in int64, which wraps around as uint64 does.

Nothing is read back from the device, and nothing but Python numbers is sent there.
"""

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15


def _signed(word: int) -> int:
    """A 64-bit word as the int64 of the same bits."""
    word &= 0xFFFFFFFFFFFFFFFF
    return word - (1 << 64) if word >> 63 else word


def _shift(x: Tensor, by: int) -> Tensor:
    """Logical shift to the right: the arithmetic one, without the copies of the sign."""
    return (x >> by) & ((1 << (64 - by)) - 1)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shift(x, 27)) * _signed(0x94D049BB133111EB)
    return x ^ _shift(x, 31)


def bits(key: int, index: Tensor, slots: int, first: int = 0) -> Tensor:
    """``rng.bits`` as int64 [N, slots] with the same bits; ``key`` is ``rng.key_of(seed, stream)``."""
    slot = torch.arange(first + 1, first + 1 + slots, device=index.device)
    row = _mix((index.long().view(-1, 1) * _signed(_GOLDEN) + _signed(_GOLDEN)) ^ _signed(key))
    return _mix(row + slot * _signed(_GOLDEN))


def float_of(device: torch.device) -> torch.dtype:
    """The type of random numbers and of the geometry drawn from them: float64, where the device has it (MPS has not).

    Float32 numbers are the float64 ones cut to 24 bits, so a sample differs from that of another device by rounding,
    and a decision (whether to mirror) in one of 10^7 cases.
    """
    return torch.float32 if device.type == "mps" else torch.float64


def uniforms(key: int, index: Tensor, slots: int, first: int = 0) -> Tensor:
    """``rng.uniforms`` [N, slots], of :func:`float_of` the device."""
    dtype = float_of(index.device)
    digits = 53 if dtype == torch.float64 else 24  # as many as the type holds, so that no number rounds to 1
    return _shift(bits(key, index, slots, first), 64 - digits).to(dtype) * 2.0**-digits
