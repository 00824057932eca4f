"""Counter-based random numbers: every draw is a pure function of (seed, stream, index, slot).

No state is carried, so a sample is the same whatever the worker, batch, shard, order or device it is drawn on. The
mixing function is the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), applied once for each part of the
key. Indices in a tensor give the same numbers as a tensor on its device (``exuno.data.rng_torch``), from which the host
reads nothing.
"""

import sys
import zlib
from typing import TYPE_CHECKING, TypeGuard, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from torch import Tensor

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def key_of(seed: int, stream: str) -> NDArray[np.uint64]:
    """The part of the key that all samples share, uint64 [1]."""
    seed64 = np.array([seed & 0xFFFFFFFFFFFFFFFF], np.uint64)
    return _mix(_mix(seed64 + _GOLDEN) ^ np.uint64(zlib.crc32(stream.encode())))


def is_tensor(index: object) -> "TypeGuard[Tensor]":
    """Whether indices are a tensor; asks without importing torch, which whoever made a tensor has done."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(index, torch.Tensor)


@overload
def bits(seed: int, stream: str, index: "Tensor", slots: int, first: int = 0) -> "Tensor": ...
@overload
def bits(seed: int, stream: str, index: ArrayLike, slots: int, first: int = 0) -> NDArray[np.uint64]: ...
def bits(
    seed: int, stream: str, index: "ArrayLike | Tensor", slots: int, first: int = 0
) -> "NDArray[np.uint64] | Tensor":
    """Random 64-bit words, uint64 [N, slots], for N indices; ``first`` is the number of the first slot.

    Indices in an int64 tensor give the same words as an int64 tensor on its device.
    """
    if is_tensor(index):
        from exuno.data import rng_torch

        return rng_torch.bits(int(key_of(seed, stream)[0]), index, slots, first)
    numbers = np.asarray(index, np.int64).reshape(-1, 1).astype(np.uint64)
    slot = np.arange(first, first + slots, dtype=np.uint64)[None]
    row = _mix(key_of(seed, stream) ^ (numbers * _GOLDEN + _GOLDEN))
    return _mix(row + (slot + np.uint64(1)) * _GOLDEN)


@overload
def uniforms(seed: int, stream: str, index: "Tensor", slots: int, first: int = 0) -> "Tensor": ...
@overload
def uniforms(seed: int, stream: str, index: ArrayLike, slots: int, first: int = 0) -> NDArray[np.float64]: ...
def uniforms(
    seed: int, stream: str, index: "ArrayLike | Tensor", slots: int, first: int = 0
) -> "NDArray[np.float64] | Tensor":
    """Uniform numbers in [0, 1), float64 [N, slots].

    Args:
        seed: the user's seed.
        stream: what the numbers are for (``"synth"``, ``"augment"``, …); streams are independent of each other.
        index: N sample numbers, int64. In a tensor they give the same numbers in a tensor on its device (float32, of
            the upper 24 bits, where the device has no float64).
        slots: how many numbers each sample needs.
        first: the number of the first slot, to draw more for the same sample later.
    """
    if is_tensor(index):
        from exuno.data import rng_torch

        return rng_torch.uniforms(int(key_of(seed, stream)[0]), index, slots, first)
    words = bits(seed, stream, index, slots, first)
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def seed_of(seed: int, stream: str, index: int = 0) -> int:
    """A seed for another library's generator, in [0, 2^63): pure function of its arguments."""
    return int(bits(seed, stream, [index], 1)[0, 0] >> np.uint64(1))


def generator(seed: int, stream: str, index: int = 0) -> np.random.Generator:
    """A NumPy generator for draws that need one (permutations, Beta): pure function of its arguments."""
    return np.random.Generator(np.random.Philox(key=int(bits(seed, stream, [index], 1)[0, 0])))
