"""The generator on a device gives the numbers of the one on the host."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from exuno.data import rng
from exuno.fewshot.draws import uniforms

INDEX = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5)


@given(st.integers(0, 2**64 - 1), st.text(max_size=5), INDEX, st.integers(0, 6), st.integers(0, 2**40))
def test_the_numbers_are_the_same_bit_by_bit(seed: int, stream: str, index: list[int], slots: int, first: int) -> None:
    numbers = np.array(index, np.int64)
    expected = rng.uniforms(seed, stream, numbers, slots, first)
    assert np.array_equal(uniforms(seed, stream, torch.from_numpy(numbers), slots, first).numpy(), expected)
