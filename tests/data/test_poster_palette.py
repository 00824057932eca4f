"""Posters with a palette, and with one learned label for each class: what a step sees is what is stored, counted and
read."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from exuno.data.poster.coding import Coding, Palette
from exuno.data.poster.format import Poster, load, save
from exuno.data.poster.layout import boxes
from exuno.data.poster.ledger import byte_breakdown
from exuno.data.poster.palette import fitted
from exuno.data.poster.patches import fixed_labels, shared_labels
from exuno.engine.errors import ExunoError
from exuno.poster.layout import plan
from exuno.poster.options import PosterConfig

Make = Callable[..., Poster]


def values_of(channels: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(channels, 16, 20))).float()


def coloured(make: Make, bits: int = 4, channels: int = 3, **changes: Any) -> Poster:
    """A poster of random values with a palette."""
    parts = Palette(bits).stored(values_of(channels), (16, 20))
    stats = {"mean": (0.5,) * channels, "std": (0.2,) * channels}
    return make(**{**parts, **stats, **changes})


@pytest.mark.parametrize("bits", [2, 4])
def test_as_many_colours_as_there_are_stay_what_they_are(bits: int) -> None:
    random = np.random.default_rng(bits)
    own = torch.from_numpy(random.normal(size=(1 << bits, 3)).astype(np.float16)).float()
    numbers = torch.from_numpy(random.integers(0, 1 << bits, (16, 20)))
    values = own[numbers].permute(2, 0, 1)
    colours, found = fitted(values, bits)
    assert torch.equal(colours[found].permute(2, 0, 1), values)


def test_levels_lie_where_the_values_are() -> None:
    """Three narrow heaps and an outlier: even levels between the ends miss the heaps, a palette does not."""
    heaps = torch.tensor([0.0, 0.1, 0.2]).repeat(107)[:320].view(1, 16, 20) + values_of(1) / 1000
    heaps[0, 0, 0] = 3
    errors = [(each(2).seen(heaps, (16, 20)) - heaps).square().mean().item() for each in (Palette, Coding)]
    assert errors[0] < 1e-5 < 100 * 1e-5 < errors[1]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_step_sees_the_poster_that_is_stored(bits: int, channels: int, tiny_poster: Make) -> None:
    values = values_of(channels).requires_grad_()
    weight = torch.arange(320.0 * channels).view(channels, 16, 20)
    seen = Palette(bits).seen(values, (16, 20))
    (seen * weight).sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, weight)
    torch.testing.assert_close(coloured(tiny_poster, bits, channels).values, seen.detach(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_saved_and_read_it_is_the_same_poster(bits: int, channels: int, tmp_path: Path, tiny_poster: Make) -> None:
    poster = coloured(tiny_poster, bits, channels)
    assert poster.channels == channels
    path = save(poster, tmp_path / "few.poster")
    content = json.loads((path / "poster.json").read_text())
    assert content["version"] == 3
    found = load(path)
    assert found.fingerprint == poster.fingerprint
    assert torch.equal(found.values, poster.values)
    assert found.patches()[0].shape == (12, channels, 8, 8)
    header = (path / "poster.png").read_bytes()[24:26]
    assert tuple(header) == (bits, 3)  # so many bits a pixel, of a palette
    with Image.open(path / "poster.png") as picture:
        shown = np.asarray(picture.convert("RGB")).transpose(2, 0, 1)
    assert np.array_equal(shown, np.broadcast_to(poster.shown, shown.shape))


def test_the_ledger_counts_colours_and_no_range(tiny_poster: Make) -> None:
    spent = byte_breakdown(coloured(tiny_poster, 4, 3))
    assert (spent["pixels"], spent["palette"], spent["normalisation"]) == (160, 96, 24)
    assert spent["total"] == 160 + 96 + 24 + 10
    assert byte_breakdown(coloured(tiny_poster, 2, 1))["palette"] == 8


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"palette": np.zeros((4, 3), np.float16)}, "palette is float16"),
        ({"palette": np.zeros((16, 2), np.float16)}, "palette is float16"),
        ({"palette": np.full((16, 3), np.nan, np.float16)}, "not finite"),
        ({"pixels": np.zeros((3, 16, 20), np.uint8)}, "3 channels, not 1"),
        ({"label_sharing": "rows"}, "neither cells nor classes"),
        ({"labels": np.ones((10, 4, 5), np.float16), "label_sharing": "classes"}, "one label for each of 10"),
    ],
)
def test_parts_that_do_not_fit_are_told(changes: dict[str, Any], words: str, tiny_poster: Make) -> None:
    with pytest.raises(ExunoError, match=words):
        coloured(tiny_poster, **changes)


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ExunoError, match="not finite"):
        Palette(2).stored(torch.tensor([[[0.0, float("nan")]]]), (1, 2))


@pytest.mark.parametrize("damage", ["gray", "colour", "short", "empty", "flat", "large"])
def test_a_damaged_palette_is_told(damage: str, tmp_path: Path, tiny_poster: Make) -> None:
    path = save(coloured(tiny_poster), tmp_path / "few.poster")
    content = json.loads((path / "poster.json").read_text())
    if damage == "gray":
        Image.new("L", (20, 16)).save(path / "poster.png")
    elif damage == "colour":
        content["palette"][3][1] += 1
    elif damage == "short":
        content["palette"].pop()
    else:
        content["palette"] = {"empty": [], "flat": [1.0, 2.0], "large": [[1e9] * 3] * 16}[damage]
    (path / "poster.json").write_text(json.dumps(content))
    with pytest.raises(ExunoError, match=r"damaged|not as it was written"):
        load(path)


def test_classes_alone_have_their_labels_and_shares_mix_them(tiny_poster: Make) -> None:
    poster = tiny_poster()
    layout, order = poster.layout, poster.order
    array = torch.rand(10, 1, 10, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = shared_labels(array, layout, order)
    own = (array / array.sum(0)).detach()[:, 0].T  # row c: the label of class c
    # 8 x 8 patches over areas of 8 x 4: the first covers the first two classes of the first row half and half.
    first, second = order[0, :2].tolist()
    torch.testing.assert_close(labels[0].detach(), (own[first] + own[second]) / 2)
    for label, (top, left, _, _) in zip(labels.detach(), boxes(layout).tolist(), strict=True):
        shares = torch.zeros(10)
        for y in range(top, top + 8):
            for x in range(left, left + 8):
                shares[order[y // 8, x // 4]] += 1 / 64
        torch.testing.assert_close(label, shares @ own, atol=1e-6, rtol=1e-5)
    labels[:, 3].sum().backward()
    assert array.grad is not None
    assert array.grad.abs().sum() > 0
    # Where each class has its own label alone, they are the fixed ones.
    torch.testing.assert_close(shared_labels(torch.eye(10)[:, None], layout, order), fixed_labels(layout, order, 10))


def test_labels_of_classes_are_stored(tmp_path: Path, tiny_poster: Make) -> None:
    array = np.random.default_rng(0).integers(0, 16, (10, 1, 10)).astype(np.float16)
    poster = tiny_poster(labels=array, label_bits=4, label_sharing="classes")
    found = load(save(poster, tmp_path / "few.poster"))
    assert found.label_sharing == "classes"
    assert found.fingerprint == poster.fingerprint != replace(poster, label_sharing="cells").fingerprint
    assert torch.equal(found.patches()[1], poster.patches()[1])
    expected = shared_labels(torch.from_numpy(array).float(), poster.layout, poster.order)
    assert torch.equal(found.patches()[1], expected)
    assert byte_breakdown(poster)["labels"] == 50


@pytest.mark.parametrize("labels", ["fixed", "learned", "shared"])
@pytest.mark.parametrize("palette", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [2, 4])
def test_no_more_bytes_than_given_and_hardly_fewer(bits: int, channels: int, palette: bool, labels: Any) -> None:
    config = PosterConfig("digits", bytes=400, bits=bits, palette=palette, labels=labels, label_bits=4)  # pyright: ignore[reportArgumentType]
    layout = plan(config, (8, 8), 10, channels)
    spent = (layout.pixels * bits * (1 if palette else channels) + 7) // 8
    spent += palette * Palette(bits).shared_bytes(channels) + (labels != "fixed") * 50
    assert 380 < spent <= 400


def test_a_palette_that_does_not_fit_is_told() -> None:
    config = PosterConfig("digits", bytes=400, palette=True, labels="shared", label_bits=4)
    with pytest.raises(ExunoError, match="a palette of 512"):
        plan(config, (8, 8), 10, 1)
    with pytest.raises(ExunoError, match="at least 513"):
        plan(replace(config, labels="fixed"), (8, 8), 10, 1)
