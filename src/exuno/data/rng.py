"""Counter-based random numbers: every draw is a pure function of (seed, stream, index, slot).

No state is carried, so a sample is the same whatever the worker, batch, shard or order it is drawn in. The mixing
function is the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), applied once for each part of the key.
"""

import zlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _key(seed: int, stream: str) -> NDArray[np.uint64]:
    seed64 = np.array([seed & 0xFFFFFFFFFFFFFFFF], np.uint64)
    return _mix(_mix(seed64 + _GOLDEN) ^ np.uint64(zlib.crc32(stream.encode())))


def bits(seed: int, stream: str, index: ArrayLike, slots: int, first: int = 0) -> NDArray[np.uint64]:
    """Random 64-bit words, uint64 [N, slots], for N indices; ``first`` is the number of the first slot."""
    index = np.asarray(index, np.int64).reshape(-1, 1).astype(np.uint64)
    slot = np.arange(first, first + slots, dtype=np.uint64)[None]
    row = _mix(_key(seed, stream) ^ (index * _GOLDEN + _GOLDEN))
    return _mix(row + (slot + np.uint64(1)) * _GOLDEN)


def uniforms(seed: int, stream: str, index: ArrayLike, slots: int, first: int = 0) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1), float64 [N, slots].

    Args:
        seed: the user's seed.
        stream: what the numbers are for (``"synth"``, ``"augment"``, …); streams are independent of each other.
        index: N sample numbers, int64.
        slots: how many numbers each sample needs.
        first: the number of the first slot, to draw more for the same sample later.
    """
    return (bits(seed, stream, index, slots, first) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def seed_of(seed: int, stream: str, index: int = 0) -> int:
    """A seed for another library's generator, in [0, 2^63): pure function of its arguments."""
    return int(bits(seed, stream, [index], 1)[0, 0] >> np.uint64(1))


def generator(seed: int, stream: str, index: int = 0) -> np.random.Generator:
    """A NumPy generator for draws that need one (permutations, Beta): pure function of its arguments."""
    return np.random.Generator(np.random.Philox(key=int(bits(seed, stream, [index], 1)[0, 0])))
