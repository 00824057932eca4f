"""Posters on disk and in memory: exact round trips, honest bytes, and damage told in a sentence."""

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from exuno.data.poster.format import Poster, load, save
from exuno.data.poster.layout import boxes
from exuno.data.poster.ledger import byte_breakdown
from exuno.data.poster.quantisation import quantise
from exuno.data.poster.whitening import by_spectrum
from exuno.engine.errors import ExunoError

Make = Callable[..., Poster]
FLOATS = st.floats(-1e3, 1e3, width=32)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, array_shapes(min_dims=3, max_dims=3, max_side=6), elements=FLOATS))
def test_rounding_to_8_bits(values: np.ndarray) -> None:
    pixels, low, high = quantise(torch.from_numpy(values))
    assert pixels.dtype == np.uint8
    bounds = np.array(low)[:, None, None], np.array(high)[:, None, None]
    back = bounds[0] + pixels / 255 * (bounds[1] - bounds[0])
    assert (np.abs(back - values) <= (bounds[1] - bounds[0]) / 510 * (1 + 1e-9) + 1e-9).all()
    assert low == tuple(values.min((1, 2)).tolist())
    assert high == tuple(values.max((1, 2)).tolist())


def test_each_channel_has_its_own_range_and_a_constant_one_survives(tiny_poster: Make) -> None:
    values = torch.stack([torch.linspace(-2, 3, 12).view(3, 4), torch.full((3, 4), 7.0), torch.eye(3, 4)])
    pixels, low, high = quantise(values)
    assert (low, high) == ((-2.0, 7.0, 0.0), (3.0, 7.0, 1.0))
    assert pixels[0].min() == 0
    assert pixels[0].max() == 255
    layout = replace(tiny_poster().layout, size=(3, 4), image=(2, 2), patch=(2, 2), patches=(1, 1), area=(1, 1))
    poster = tiny_poster(pixels=pixels, low=low, high=high, layout=layout, mean=(0.5,) * 3, std=(1.0,) * 3)
    torch.testing.assert_close(poster.values, values, atol=5 / 510, rtol=0)
    assert torch.equal(poster.values[1], values[1])
    assert np.array_equal(quantise(poster.values)[0], pixels)  # rounding what is rounded changes nothing


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ExunoError, match="not finite"):
        quantise(torch.tensor([[[0.0, float("nan")]]]))


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("whitened", [False, True])
def test_saved_and_read_it_is_the_same_poster(tmp_path: Path, whitened: bool, learned: bool, tiny_poster: Make) -> None:
    poster = tiny_poster(whitened, learned)
    path = save(poster, tmp_path / "distilled.poster")
    files = {"poster.png", "poster.json"} | ({"whitening.safetensors"} if whitened else set())
    assert {file.name for file in path.iterdir()} == files | ({"labels.safetensors"} if learned else set())
    assert [file.name for file in tmp_path.iterdir()] == ["distilled.poster"]
    for where in (path, tmp_path):  # the folder itself, and the run that holds it
        found = load(where)
        assert found.fingerprint == poster.fingerprint
        for name in (
            "low",
            "high",
            "layout",
            "class_names",
            "data",
            "data_sha256",
            "mean",
            "std",
            "protocol",
            "lineage",
        ):
            assert getattr(found, name) == getattr(poster, name)
        assert np.array_equal(found.pixels, poster.pixels)
        assert np.array_equal(found.order, poster.order)
        assert all(map(torch.equal, found.patches(), poster.patches()))
        assert (found.labels is None) == (not learned)
        assert (found.whitening is None) == (not whitened)
        if found.whitening and poster.whitening:
            assert torch.equal(found.whitening.matrix, poster.whitening.matrix)


def test_the_picture_is_the_poster(tmp_path: Path, tiny_poster: Make) -> None:
    gray = tiny_poster()
    with Image.open(save(gray, tmp_path / "gray.poster") / "poster.png") as picture:
        assert np.array_equal(np.asarray(picture), gray.pixels[0])
    pixels = np.random.default_rng(1).integers(0, 256, (3, 16, 20), np.uint8)
    three = {"low": (0.0,) * 3, "high": (1.0,) * 3, "mean": (0.5,) * 3, "std": (0.2,) * 3}
    with Image.open(save(tiny_poster(pixels=pixels, **three), tmp_path / "rgb.poster") / "poster.png") as picture:
        assert np.array_equal(np.asarray(picture).transpose(2, 0, 1), pixels)


@pytest.mark.parametrize("learned", [False, True])
def test_patches_are_cut_out_of_the_values_with_labels_that_sum_to_one(learned: bool, tiny_poster: Make) -> None:
    poster = tiny_poster(learned=learned)
    images, labels = poster.patches()
    assert images.shape == (12, 1, 8, 8)
    assert labels.shape == (12, 10)
    for image, (top, left, bottom, right) in zip(images, boxes(tiny_poster().layout).tolist(), strict=True):
        assert torch.equal(image, poster.values[:, top:bottom, left:right])
    torch.testing.assert_close(labels.sum(1), torch.ones(12))
    # The first patch covers the first two areas of the first row: half and half by area, whatever was learned.
    if not learned:
        assert labels[0, poster.order[0, :2]].tolist() == [0.5, 0.5]


def test_the_ledger_counts_every_byte(tiny_poster: Make) -> None:
    plain = byte_breakdown(tiny_poster())
    assert plain["pixels"] == 320
    assert (plain["labels"], plain["whitening"], plain["order"], plain["normalisation"]) == (0, 0, 10, 16)
    assert plain["total"] == 346
    assert plain["ipc"] == 0.5
    assert 320 < plain["png"] < 500  # random pixels cannot be compressed
    full = byte_breakdown(tiny_poster(whitened=True, learned=True))
    assert (full["labels"], full["whitening"], full["normalisation"]) == (2 * 10 * 20, 4 * 64 * 64, 8)
    assert full["total"] == 320 + 400 + 16384 + 10 + 8


def test_an_older_poster_is_replaced_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_poster: Make
) -> None:
    path = tmp_path / "a.poster"
    save(tiny_poster(whitened=True, learned=True), path)
    newer = tiny_poster(protocol={"lr": 2.0})
    save(newer, path)
    assert {file.name for file in path.iterdir()} == {"poster.png", "poster.json"}
    assert load(path).protocol == {"lr": 2.0}
    monkeypatch.setattr("ctypes.CDLL", lambda *args, **options: object())  # a system that cannot swap two names
    save(tiny_poster(learned=True), path)
    assert load(path).labels is not None
    assert [file.name for file in tmp_path.iterdir()] == ["a.poster"]


def test_a_write_that_fails_leaves_the_older_poster(tmp_path: Path, tiny_poster: Make) -> None:
    path = save(tiny_poster(), tmp_path / "a.poster")
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    with pytest.raises(TypeError):
        save(tiny_poster(protocol={"network": object()}), path)
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.poster"]


def test_nothing_else_is_overwritten(tmp_path: Path, tiny_poster: Make) -> None:
    mine = tmp_path / "mine.poster"
    mine.mkdir()
    (mine / "thesis.txt").write_text("mine")
    with pytest.raises(ExunoError, match="is no poster"):
        save(tiny_poster(), mine)
    assert (mine / "thesis.txt").read_text() == "mine"
    with pytest.raises(ExunoError, match=r"Call it NAME\.poster"):
        save(tiny_poster(), tmp_path / "poster")


def png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format="PNG")
    return stream.getvalue()


FILES = {
    "cut off": ("poster.png", lambda old: old[: len(old) // 2], "no whole PNG"),
    "no picture": ("poster.png", lambda old: b"GIF89a", "no whole PNG"),
    "of another size": ("poster.png", lambda old: png(Image.new("L", (20, 15))), "20x15 pixels, the layout 20x16"),
    "palette": ("poster.png", lambda old: png(Image.new("P", (20, 16))), "mode P"),
    "RGB for gray": ("poster.png", lambda old: png(Image.new("RGB", (20, 16))), "3 channels, not 1"),
    "another picture": ("poster.png", lambda old: png(Image.new("L", (20, 16))), "not as it was written"),
    "no JSON": ("poster.json", lambda old: old[:-9], "cannot be read"),
    "no text": ("poster.json", lambda old: b"\x80\x81", "is not UTF-8"),
    "a list": ("poster.json", lambda old: b"[1]", "does not describe a poster"),
    "deep": ("poster.json", lambda old: b"[" * 100_000, "cannot be read"),
    "labels cut off": ("labels.safetensors", lambda old: old[:-9], "no whole safetensors"),
    "matrix cut off": ("whitening.safetensors", lambda old: old[:50], "no whole safetensors"),
    "wrong array": ("labels.safetensors", lambda old: old.replace(b"labels", b"lables"), "holds lables, not labels"),
}


@pytest.mark.parametrize("what", FILES)
def test_damaged_files(tmp_path: Path, what: str, tiny_poster: Make) -> None:
    name, damage, message = FILES[what]
    path = save(tiny_poster(whitened=True, learned=True), tmp_path / "a.poster")
    (path / name).write_bytes(damage((path / name).read_bytes()))
    with pytest.raises(ExunoError, match=message):
        load(path)


@pytest.mark.parametrize("name", ["poster.png", "poster.json", "labels.safetensors", "whitening.safetensors"])
def test_missing_files(tmp_path: Path, name: str, tiny_poster: Make) -> None:
    path = save(tiny_poster(whitened=True, learned=True), tmp_path / "a.poster")
    (path / name).unlink()
    with pytest.raises(ExunoError, match=f"{name} is missing"):
        load(path)


LAYOUTS = {
    "patches": ([9999999, 9999999], "no .* different patches"),
    "image": ([99999, 99999], "more than a poster can mean"),
    "patch": ([17, 8], "does not fit"),
    "area": ([8, 0], "below 1"),
    "grid": ([5, 2], "does not place each"),
    "size": ([16, 20.5], "no whole number"),
}
FIELDS = {
    "version": (5, "Install a newer exuno"),
    "format": ("jpeg", "does not describe"),
    "layout": (None, "damaged"),
    "low": (["0"], "no list of numbers"),
    "high": ([float("inf")], "not a finite number"),
    "std": ([0.0], "no ranges"),
    "mean": ([0.0, 0.0], "each of 1 or 3 channels"),
    "order": ([[0] * 5, [1] * 5], "does not place each"),
    "class_names": (["a"], "does not place each"),
    "label_formula": ("mine", "neither paper nor reference"),
    "learned_labels": (True, "labels.safetensors is missing"),
    "data": (7, "no text"),
    "sha256": ("0", "not as it was written"),
    "protocol": (5, "damaged"),
}


@pytest.mark.parametrize("name", FIELDS)
def test_damaged_fields(tmp_path: Path, name: str, tiny_poster: Make) -> None:
    value, message = FIELDS[name]
    path = save(tiny_poster(), tmp_path / "a.poster")
    content = json.loads((path / "poster.json").read_text())
    (path / "poster.json").write_text(json.dumps({**content, name: value}))
    with pytest.raises(ExunoError, match=message):
        load(path)
    del content[name]
    (path / "poster.json").write_text(json.dumps(content))
    with pytest.raises(ExunoError):
        load(path)


@pytest.mark.parametrize("name", LAYOUTS)
def test_absurd_layouts(tmp_path: Path, name: str, tiny_poster: Make) -> None:
    value, message = LAYOUTS[name]
    path = save(tiny_poster(), tmp_path / "a.poster")
    content = json.loads((path / "poster.json").read_text())
    content["layout"] = {**asdict(tiny_poster().layout), name: value}
    (path / "poster.json").write_text(json.dumps(content))
    with pytest.raises(ExunoError, match=message):
        load(path)


def test_labels_of_another_shape(tmp_path: Path, tiny_poster: Make) -> None:
    path = save(tiny_poster(learned=True), tmp_path / "a.poster")
    shape = tiny_poster(learned=True).labels
    assert shape is not None
    with pytest.raises(ExunoError, match=r"float16 \[9, 4, 5\], not float16 \[10"):
        tiny_poster(labels=shape[:9])
    with pytest.raises(ExunoError, match="float32"):
        tiny_poster(labels=shape.astype(np.float32))
    with pytest.raises(ExunoError, match="negative or not finite"):
        tiny_poster(labels=-shape)
    assert load(path).labels is not None


def test_where_there_is_no_poster(tmp_path: Path, tiny_poster: Make) -> None:
    with pytest.raises(ExunoError, match="there is no poster"):
        load(tmp_path / "nowhere")
    with pytest.raises(ExunoError, match="there is no poster"):
        load(tmp_path / "nowhere.poster")
    with pytest.raises(ExunoError, match="holds no poster"):
        load(tmp_path)
    (tmp_path / "config.yaml").write_text("verb: poster\n")
    with pytest.raises(ExunoError, match="unfinished"):
        load(tmp_path)
    save(tiny_poster(), tmp_path / "distilled.poster")
    shutil.move(tmp_path / "distilled.poster", tmp_path / "other.poster")
    assert load(tmp_path / "other.poster").classes == 10


def test_a_whitening_by_a_formula_takes_no_file_and_no_bytes(tmp_path: Path, tiny_poster: Make) -> None:
    poster = tiny_poster(whitening=by_spectrum((1, 8, 8)))
    path = save(poster, tmp_path / "white.poster")
    assert {file.name for file in path.iterdir()} == {"poster.png", "poster.json"}
    found = load(path)
    assert found.fingerprint == poster.fingerprint != tiny_poster().fingerprint
    assert found.whitening is not None
    assert found.whitening.formula
    assert torch.equal(found.whitening.matrix, by_spectrum((1, 8, 8)).matrix)
    spent = byte_breakdown(found)
    assert (spent["whitening"], spent["normalisation"]) == (0, 8)
    content = json.loads((path / "poster.json").read_text())
    assert content["version"] == 3
    content["whitening"] = "colour"
    (path / "poster.json").write_text(json.dumps(content))
    with pytest.raises(ExunoError, match="no whitening by 'colour'"):
        load(path)
