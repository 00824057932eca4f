"""The generator on tensors gives the numbers of the one on arrays, bit for bit."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exuno.data import rng, rng_torch

INT64 = st.integers(-(2**63), 2**63 - 1)


@given(
    seed=st.integers(-(2**70), 2**70),
    stream=st.text(max_size=8),
    index=st.lists(INT64, max_size=5),
    slots=st.integers(0, 9),
    first=st.integers(0, 5000),
)
@settings(max_examples=150, deadline=None)
def test_words_and_numbers_are_bit_equal(seed: int, stream: str, index: list[int], slots: int, first: int) -> None:
    array = np.array(index, np.int64)
    tensor = torch.from_numpy(array)
    words = rng.bits(seed, stream, tensor, slots, first)
    assert words.dtype == torch.int64
    assert np.array_equal(words.numpy().view(np.uint64), rng.bits(seed, stream, array, slots, first))
    numbers = rng.uniforms(seed, stream, tensor, slots, first)
    assert numbers.dtype == torch.float64
    assert np.array_equal(numbers.numpy(), rng.uniforms(seed, stream, array, slots, first))


def test_a_device_without_float64_cuts_the_numbers_to_24_bits(monkeypatch) -> None:
    monkeypatch.setattr(rng_torch, "float_of", lambda device: torch.float32)
    index = np.arange(1000)
    short = rng.uniforms(3, "x", torch.from_numpy(index), 4)
    exact = rng.uniforms(3, "x", index, 4)
    assert short.dtype == torch.float32
    assert np.array_equal(short.double().numpy(), np.floor(exact * 2**24) / 2**24)
