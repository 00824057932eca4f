"""Posters of few bits: what is rounded in a step is what is stored, packed, counted and read."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from exuno.data.poster.format import Poster, load, save
from exuno.data.poster.ledger import byte_breakdown
from exuno.data.poster.patches import array_labels
from exuno.data.poster.picture import png
from exuno.data.poster.quantisation import (
    byte_size,
    coded_size,
    packed,
    quantise,
    quantise_labels,
    rounded,
    rounded_labels,
    unpacked,
)
from exuno.engine.errors import ExunoError

Make = Callable[..., Poster]
FLOATS = st.floats(-100, 100, width=32)
BITS = st.sampled_from([2, 4])


def few(make: Make, bits: int, label_bits: int = 16, **changes: Any) -> Poster:
    """A gray poster of few bits with learned labels."""
    random = np.random.default_rng(0)
    pixels, low, high = quantise(torch.from_numpy(random.normal(size=(1, 16, 20))), bits)
    labels = quantise_labels(torch.from_numpy(random.random((10, 4, 5))), label_bits)
    parts = {"pixels": pixels, "low": low, "high": high, "labels": labels, "bits": bits, "label_bits": label_bits}
    return make(**{**parts, **changes})


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, array_shapes(min_dims=3, max_dims=3, max_side=6), elements=FLOATS), BITS)
def test_a_value_becomes_the_nearest_level_and_levels_stay(values: np.ndarray, bits: int) -> None:
    pixels, low, high = quantise(torch.from_numpy(values), bits)
    levels = np.linspace(np.array(low), np.array(high), 1 << bits)  # [levels, C]
    distance = np.abs(values[None] - levels[:, :, None, None])
    back = np.array(low)[:, None, None] + pixels / 255 * (np.array(high) - np.array(low))[:, None, None]
    np.testing.assert_allclose(np.abs(back - values), distance.min(0), atol=1e-4)
    again, *bounds = quantise(torch.from_numpy(back), bits)
    anew = np.array(bounds[0])[:, None, None] + again / 255 * np.subtract(bounds[1], bounds[0])[:, None, None]
    both = (pixels.min((1, 2)) == 0) & (
        pixels.max((1, 2)) == 255
    )  # else the range is fitted anew, to what is left of it
    np.testing.assert_allclose(anew[both], back[both], atol=1e-4)


@pytest.mark.parametrize(("bits", "least"), [(2, 0.119), (4, 0.0116)])
def test_the_range_suits_gaussian_values(bits: int, least: float) -> None:
    """The error is near that of the best uniform quantiser of a Gaussian (Max, IRE Trans. 1960: .1188 and .01154)."""
    values = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 100, 300)))
    error = (rounded(values, bits) - values).square().mean().item()
    low, high = values.min(), values.max()
    plain = ((values - low) / (high - low) * (2**bits - 1)).round() / (2**bits - 1) * (high - low) + low
    assert error < 1.1 * least < (plain - values).square().mean().item()


@pytest.mark.parametrize("bits", [2, 4])
def test_a_step_sees_the_poster_that_is_stored(bits: int, tiny_poster: Make) -> None:
    values = torch.from_numpy(np.random.default_rng(1).normal(size=(1, 16, 20))).float().requires_grad_()
    weight = torch.arange(320.0).view(1, 16, 20)
    seen = rounded(values, bits)
    (seen * weight).sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, weight)
    pixels, low, high = quantise(values, bits)
    torch.testing.assert_close(tiny_poster(pixels=pixels, low=low, high=high, bits=bits).values, seen.detach())


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_step_sees_the_labels_that_are_stored(bits: int, tiny_poster: Make) -> None:
    strength = torch.linspace(0.01, 5, 20).view(4, 5)  # of a cell, which is free
    array = (strength * torch.from_numpy(np.random.default_rng(1).random((10, 4, 5))).float()).requires_grad_()
    seen = rounded_labels(array, bits)
    seen.sum().backward()
    largest, highest = array.detach().amax(0), 2**bits - 1
    assert array.grad is not None
    torch.testing.assert_close(array.grad, (highest / largest).expand(10, 4, 5))
    assert torch.equal(seen.amax(0), torch.full((4, 5), float(highest)))
    assert (seen * largest / highest - array).abs().le(largest / highest / 2 * 1.001).all()
    stored = quantise_labels(array, bits)
    assert np.array_equal(stored, seen.detach().numpy())
    poster = few(tiny_poster, 8, bits, labels=stored)
    torch.testing.assert_close(poster.patches()[1], array_labels(seen.detach(), poster.layout))


def test_a_cell_without_a_label_stays_empty() -> None:
    array = torch.rand(10, 4, 5, generator=torch.Generator().manual_seed(0))
    array[:, 1, 2] = 0
    array[3, 0, 0] = 1e-40  # smaller than a float32 can scale
    stored = quantise_labels(array, 4)
    assert not stored[:, 1, 2].any()
    assert np.isfinite(stored).all()


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from([2, 4, 8]), array_shapes(max_dims=3, max_side=7))
def test_packed_numbers_come_back(data: st.DataObject, bits: int, shape: tuple[int, ...]) -> None:
    levels = data.draw(arrays(np.uint8, shape, elements=st.integers(0, 2**bits - 1)))
    array = packed(levels, bits)
    assert array.nbytes == byte_size(levels.size, bits) == math.ceil(levels.size * bits / 8)
    assert np.array_equal(unpacked(array, bits, shape), levels)


@settings(max_examples=60, deadline=None)
@given(arrays(np.uint8, array_shapes(max_dims=1, max_side=60), elements=st.integers(0, 3)))
def test_the_coded_size_is_that_of_a_code(levels: np.ndarray) -> None:
    """As many numbers as there are tallies, times the arrangements of this one, each told by one of so many bits."""
    codes, left = math.comb(len(levels) + 3, 3), len(levels)
    for count in np.bincount(levels, minlength=4).tolist():
        codes, left = codes * math.comb(left, count), left - count
    assert coded_size(levels, 2) == math.ceil((codes - 1).bit_length() / 8) or math.log2(codes) % 8 < 1e-6


def test_an_even_spread_cannot_be_coded_shorter_and_a_constant_can() -> None:
    even = np.random.default_rng(0).permutation(np.repeat(np.arange(16, dtype=np.uint8), 100))
    assert 780 < coded_size(even, 4) <= 820
    assert coded_size(np.zeros(1600, np.uint8), 4) < 20


@pytest.mark.parametrize("label_bits", [2, 4, 8, 16])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_saved_and_read_it_is_the_same_poster(tmp_path: Path, bits: int, label_bits: int, tiny_poster: Make) -> None:
    poster = few(tiny_poster, bits, label_bits)
    path = save(poster, tmp_path / "a.poster")
    found = load(path)
    assert (found.bits, found.label_bits, found.fingerprint) == (bits, label_bits, poster.fingerprint)
    assert np.array_equal(found.pixels, poster.pixels)
    assert found.labels is not None
    assert poster.labels is not None
    assert np.array_equal(found.labels, poster.labels)
    version = json.loads((path / "poster.json").read_text())["version"]
    assert version == (1 if (bits, label_bits) == (8, 16) else 2)  # what an older exuno can read, it still can
    with Image.open(path / "poster.png") as picture:
        assert np.array_equal(np.asarray(picture), poster.pixels[0])
    head = (path / "poster.png").read_bytes()[24:26]
    assert head == bytes([bits, 0])  # depth and colour type: gray
    spent = byte_breakdown(found)
    assert spent["pixels"] == 40 * bits
    assert spent["labels"] == 25 * label_bits
    assert spent["total"] == 40 * bits + 25 * label_bits + 26
    assert (path / "labels.safetensors").stat().st_size < spent["labels"] + 100


def test_colours_of_few_bits_are_a_png_of_8(tmp_path: Path, tiny_poster: Make) -> None:
    pixels = 85 * np.random.default_rng(1).integers(0, 4, (3, 16, 20)).astype(np.uint8)
    three = {"low": (0.0,) * 3, "high": (1.0,) * 3, "mean": (0.5,) * 3, "std": (0.2,) * 3}
    poster = tiny_poster(pixels=pixels, bits=2, **three)
    assert np.array_equal(load(save(poster, tmp_path / "a.poster")).pixels, pixels)
    assert byte_breakdown(poster)["pixels"] == 240
    assert len(png(pixels, 2)) < 450


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"bits": 2}, "not of 2 bits"),
        ({"bits": 3}, "not of 3 bits"),
        ({"label_bits": 4, "labels": np.full((10, 4, 5), 16, np.float16)}, "other numbers than 0 to 15"),
        ({"label_bits": 5}, "2, 4, 8 or 16 bits, not 5"),
        ({"label_bits": 8, "labels": np.full((10, 4, 5), 1.5, np.float16)}, "other numbers than 0 to 255"),
    ],
)
def test_parts_that_have_more_bits_than_they_say_are_refused(
    changes: dict[str, Any], told: str, tiny_poster: Make
) -> None:
    with pytest.raises(ExunoError, match=told):
        replace(few(tiny_poster, 4, 4), **changes)


@pytest.mark.parametrize(
    ("part", "value", "told"),
    [
        ("bits", 2, "not of 2 bits"),
        ("bits", "4", "no whole number"),
        ("label_bits", 16, r"label array is uint8 \[100\]"),
        ("label_bits", 8, "200 numbers of 8 bits are not in"),
        ("label_shape", [10, 4, 6], "240 numbers of 4 bits are not in"),
        ("label_shape", None, "damaged"),
        ("version", 5, "reads up to 4"),
    ],
)
def test_a_changed_description_is_told(tmp_path: Path, part: str, value: Any, told: str, tiny_poster: Make) -> None:
    path = save(few(tiny_poster, 4, 4), tmp_path / "a.poster")
    content = json.loads((path / "poster.json").read_text()) | {part: value}
    (path / "poster.json").write_text(json.dumps(content))
    with pytest.raises(ExunoError, match=told):
        load(path)
