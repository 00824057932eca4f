"""Posters whose colours have half the size of their light: what a step sees is what is stored, counted and read."""

import json
import math
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn import functional

from exuno.data.poster.chroma import coloured, planes, sheet_of
from exuno.data.poster.coding import SmallColours
from exuno.data.poster.format import Poster, load, save
from exuno.data.poster.layout import Layout
from exuno.data.poster.ledger import byte_breakdown
from exuno.data.poster.quantisation import byte_size, coded_size
from exuno.data.poster.whitening import OPPONENTS
from exuno.engine.errors import ExunoError
from exuno.poster.layout import plan
from exuno.poster.options import PosterConfig

Make = Callable[..., Poster]
SIDES = st.integers(2, 13)
BITS = st.sampled_from([2, 4, 8])
OLD = Path(__file__).parents[1] / "old" / "207f77b.tar.xz"


def values_of(size: tuple[int, int] = (15, 19), seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(3, *size))).float()


def half(make: Make, size: tuple[int, int] = (15, 19), bits: int = 4, seed: int = 0, **changes: Any) -> Poster:
    """A poster of random values with colours of half the size, by default of odd sides."""
    side = min(2, *size)
    layout = Layout(size=size, image=(2, 2), patch=(side, side), patches=(1, 1), grid=(2, 5), area=(1, 1))
    parts = SmallColours(bits).stored(sheet_of(values_of(size, seed)), size)
    return make(**{**parts, "layout": layout, "mean": (0.5,) * 3, "std": (0.2,) * 3, **changes})


@settings(max_examples=40, deadline=None)
@given(height=SIDES, width=SIDES, bits=BITS, seed=st.integers(0, 100))
def test_saved_and_read_it_is_the_same_poster(height: int, width: int, bits: int, seed: int, tiny_poster: Make) -> None:
    poster = half(tiny_poster, (height, width), bits, seed)
    with TemporaryDirectory() as folder:
        path = save(poster, Path(folder) / "half.poster")
        found, header = load(path), (path / "poster.png").read_bytes()[24:26]
        assert json.loads((path / "poster.json").read_text())["version"] == 4
    assert tuple(header) == (bits, 0)  # gray, of so many bits a pixel
    assert found.fingerprint == poster.fingerprint
    assert (found.chroma, found.channels) == ("half", 3)
    assert torch.equal(found.values, poster.values)
    if bits < 8:
        shown = SmallColours(bits).seen(sheet_of(values_of((height, width), seed)), (height, width))
        torch.testing.assert_close(found.values, shown, atol=1e-5, rtol=0)
    assert found.patches()[0].shape == (1, 3, 2, 2)
    assert found.shown.shape == found.values.shape == (3, height, width)
    numbers = height * width + 2 * ((height + 1) // 2) * ((width + 1) // 2)
    assert SmallColours(bits).numbers((height, width), 3) == numbers
    assert byte_breakdown(found)["pixels"] == math.ceil(numbers * bits / 8)


@pytest.mark.parametrize("size", [(15, 19), (16, 20), (1, 7), (8, 1)])
def test_a_step_sees_the_poster_that_is_stored(size: tuple[int, int], tiny_poster: Make) -> None:
    sheet = sheet_of(values_of(size)).requires_grad_()
    weight = torch.from_numpy(np.random.default_rng(1).normal(size=(3, *size))).float()
    gradients = []
    for bits in (2, 4, 8):
        shown = SmallColours(bits).seen(sheet, size)
        gradients.append(torch.autograd.grad((shown * weight).sum(), sheet)[0])
        stored = half(tiny_poster, size, bits)
        assert len(np.unique(planes(torch.from_numpy(stored.pixels), size)[1][0])) <= 1 << bits
        # At 8 bits a step sees no rounding: half a level of each plane, as each channel takes it.
        slack = 0.0 if bits < 8 else float((np.abs(OPPONENTS.T) @ np.subtract(stored.high, stored.low) / 510).max())
        torch.testing.assert_close(shown.detach(), stored.values, atol=slack + 1e-5, rtol=0)
        if bits < 8:
            assert (shown - SmallColours(8).seen(sheet, size)).abs().max() > 0.01
    assert all(torch.equal(each, gradients[0]) for each in gradients[1:])  # straight through the rounding


@pytest.mark.parametrize("size", [(5, 7), (6, 4), (1, 3)])
def test_the_gradient_is_that_of_finite_differences_and_reaches_every_number(size: tuple[int, int]) -> None:
    sheet = sheet_of(values_of(size).double()).requires_grad_()
    assert torch.autograd.gradcheck(lambda each: SmallColours(8).seen(each, size), sheet)
    for number, axis in enumerate(torch.from_numpy(OPPONENTS)):
        along = (SmallColours(8).seen(sheet, size) * axis[:, None, None]).sum()
        light, colours = planes(torch.autograd.grad(along, sheet)[0], size)
        parts = [light[0], *colours]
        own = parts.pop(number)
        assert own.sum().item() == pytest.approx(math.prod(size))  # each pixel takes colours in shares of sum 1
        assert own.min() > 0
        assert max(part.abs().max().item() for part in parts) < 1e-9


def test_colours_are_enlarged_as_torch_does_it_and_turned_back() -> None:
    light, colours = torch.zeros(1, 15, 19), torch.from_numpy(np.random.default_rng(0).normal(size=(2, 8, 10))).float()
    large = functional.interpolate(colours[None], scale_factor=2, mode="bilinear", align_corners=False)[0, :, :15, :19]
    expected = torch.einsum("pc,phw->chw", torch.from_numpy(OPPONENTS[1:]).float(), large)
    torch.testing.assert_close(coloured(light, colours), expected)


def test_what_has_one_colour_loses_nothing_and_gray_has_no_chroma() -> None:
    size = (15, 19)
    light = torch.from_numpy(np.random.default_rng(0).normal(size=size)).float()
    gray = light.expand(3, -1, -1)
    found, colours = planes(sheet_of(gray), size)
    torch.testing.assert_close(found[0], light * 3**0.5)
    assert colours.abs().max() < 1e-6
    painted = gray + torch.tensor([0.3, -0.2, 0.7])[:, None, None]
    torch.testing.assert_close(SmallColours(8).seen(sheet_of(painted), size), painted)
    sheet = sheet_of(torch.full((3, *size), 0.7))  # flat
    assert planes(sheet, size)[1].abs().max() < 1e-6
    torch.testing.assert_close(SmallColours(4).seen(sheet, size), torch.full((3, *size), 0.7))


def test_colours_are_the_means_of_four_pixels_and_of_fewer_at_the_edge() -> None:
    values = values_of((3, 3))
    red = torch.einsum("c,chw->hw", torch.from_numpy(OPPONENTS[1]).float(), values)
    colours = planes(sheet_of(values), (3, 3))[1][0]
    expected = [[red[:2, :2].mean(), red[:2, 2].mean()], [red[2, :2].mean(), red[2, 2]]]
    torch.testing.assert_close(colours, torch.tensor(expected))


def test_the_ledger_counts_one_and_a_half_numbers_a_pixel(tiny_poster: Make) -> None:
    poster = half(tiny_poster, (16, 20))
    spent = byte_breakdown(poster)
    assert (spent["pixels"], spent["normalisation"]) == (16 * 20 * 3 // 4, 48)
    assert spent["total"] == 240 + 48 + 10
    odd = byte_breakdown(half(tiny_poster, (15, 19)))
    assert odd["pixels"] == (15 * 19 + 2 * 8 * 10 + 1) // 2
    # What is coded are the numbers that are used, in whatever order.
    levels = SmallColours(4).levels(half(tiny_poster, (15, 19)))
    assert levels.shape == (445,)
    assert odd["coded"] == coded_size(levels, 4) < odd["pixels"]


def test_the_picture_shows_light_above_colours(tiny_poster: Make, tmp_path: Path) -> None:
    poster = half(tiny_poster)
    with Image.open(save(poster, tmp_path / "half.poster") / "poster.png") as picture:
        sheet = np.asarray(picture)
    assert sheet.shape == (15 + 8, 20)
    assert np.array_equal(sheet, poster.pixels[0])
    light = (OPPONENTS[0] @ poster.values.numpy().reshape(3, -1)).reshape(15, 19)
    assert np.corrcoef(sheet[:15, :19].ravel(), light.ravel())[0, 1] > 0.999
    for channel, values in zip(poster.shown, poster.values.numpy(), strict=True):
        spread = (values - values.min()) / np.ptp(values) * 255
        assert np.abs(channel - spread).max() <= 0.501


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"chroma": "third"}, "neither full nor half"),
        ({"pixels": np.zeros((1, 15, 19), np.uint8)}, "19x15 pixels, the layout 20x23"),
        ({"pixels": np.zeros((3, 23, 20), np.uint8)}, "3 channels, not 1"),
        ({"palette": np.zeros((16, 3), np.float16)}, "two ways to store colours"),
        ({"pixels": np.full((1, 23, 20), 17, np.uint8)}, "column beside the light is not empty"),
        ({"low": (0.0,), "high": (1.0,)}, "each of 3 channels"),
        ({"chroma": "full"}, "20x23 pixels, the layout 19x15"),
    ],
)
def test_parts_that_do_not_fit_are_told(changes: dict[str, Any], words: str, tiny_poster: Make) -> None:
    with pytest.raises(ExunoError, match=words):
        half(tiny_poster, **changes)


@pytest.mark.parametrize("damage", ["full", "none", "list", "flipped", "cut", "colour", "range"])
def test_a_damaged_file_is_told(damage: str, tmp_path: Path, tiny_poster: Make) -> None:
    path = save(half(tiny_poster), tmp_path / "half.poster")
    content = json.loads((path / "poster.json").read_text())
    sheet = np.array(Image.open(path / "poster.png"))
    if damage == "flipped":
        Image.fromarray(sheet[::-1].copy()).save(path / "poster.png")
    elif damage == "cut":
        Image.fromarray(sheet[:-1]).save(path / "poster.png")
    elif damage == "colour":
        Image.fromarray(np.stack([sheet] * 3, 2)).save(path / "poster.png")
    elif damage == "range":
        content["high"][2] += 1
    else:
        content["chroma"] = {"full": "full", "none": None, "list": ["half"]}[damage]
    (path / "poster.json").write_text(json.dumps(content))
    with pytest.raises(ExunoError, match=r"damaged|not as it was written"):
        load(path)


def test_other_posters_are_written_as_they_were(tmp_path: Path, tiny_poster: Make) -> None:
    with tarfile.open(OLD) as archive:
        archive.extractall(tmp_path, filter="data")
    old = tmp_path / "poster/distilled.poster"
    new = save(load(old), tmp_path / "new.poster")
    assert {each.name for each in new.iterdir()} == {each.name for each in old.iterdir()}
    for file in old.iterdir():
        assert (new / file.name).read_bytes() == file.read_bytes(), file.name
    shutil.rmtree(new)
    content = json.loads((save(tiny_poster(), new) / "poster.json").read_text())
    assert (content["version"], "chroma" in content) == (1, False)


@settings(max_examples=60, deadline=None)
@given(st.integers(330, 3000), BITS, st.sampled_from(["fixed", "learned", "shared"]), st.sampled_from([2, 4]))
def test_no_more_bytes_than_given_and_hardly_fewer(budget: int, bits: Any, labels: Any, label_bits: Any) -> None:
    config = PosterConfig("digits", bytes=budget, bits=bits, chroma="half", labels=labels, label_bits=label_bits)
    layout = plan(config, (8, 8), 10, 3)
    height, width = layout.size
    numbers = height * width + 2 * -(-height // 2) * -(-width // 2)
    spent = (numbers * bits + 7) // 8 + (labels != "fixed") * byte_size(100, label_bits)
    column = (2 * height + 2) * bits / 8
    assert budget - 2 * column < spent <= budget
    plain = plan(replace(config, chroma="full"), (8, 8), 10, 3)
    assert 1.75 < layout.pixels / plain.pixels < 2.2


def test_gray_posters_have_no_chroma_and_a_budget_below_a_pixel_is_told() -> None:
    config = PosterConfig("digits", bytes=400, chroma="half")
    with pytest.raises(ExunoError, match="--chroma half does nothing for a poster in gray"):
        plan(config, (8, 8), 10, 1)
    with pytest.raises(ExunoError, match=r"--bytes is 2\. Give at least 3"):
        plan(replace(config, bytes=2), (8, 8), 10, 3)
