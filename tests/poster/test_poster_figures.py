"""The pictures of a poster: what they show, that they can be read, and that the animation moves within its bounds."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from exuno.data.open import open_data
from exuno.data.poster.format import Poster
from exuno.data.poster.layout import Layout
from exuno.data.poster.patches import Canvas
from exuno.data.poster.quantisation import quantise
from exuno.poster.drawing import LABEL, enlarged, fitted, overlay, samples, unwhitened, write_animation, write_figures
from exuno.report.images import save_png
from exuno.report.record import read_record

Make = Callable[..., Poster]


def frames_in(folder: Path, count: int, size: tuple[int, int] = (16, 20), seed: int = 0) -> list[Path]:
    random = np.random.default_rng(seed)
    return [save_png(random.integers(0, 256, size, np.uint8), folder / f"{i:04d}.png") for i in range(count)]


def n_frames(path: Path) -> int:
    with Image.open(path) as picture:
        assert picture.format == "GIF"
        assert picture.info["loop"] == 0  # for ever
        return getattr(picture, "n_frames", 1)


@pytest.mark.parametrize("whitened", [False, True])
def test_everything_is_listed_for_the_report(tmp_path: Path, tiny_poster: Make, whitened: bool) -> None:
    poster = tiny_poster(whitened)
    write_figures(tmp_path / "figures", poster, frames_in(tmp_path / "frames", 5))
    (tmp_path / "result.json").write_text("{}")
    record = read_record(tmp_path)
    names = ["poster.png", *(["unwhitened.png"] * whitened), "classes.png", "patches.png", "progress.gif"]
    assert [figure.path.name for figure in record.figures] == names
    assert all(figure.title and figure.caption.endswith(".") for figure in record.figures)
    assert "20 x 16 pixels, 0.5 images per class" in record.figures[0].caption
    assert not record.notes
    with Image.open(tmp_path / "figures/poster.png") as picture:
        assert picture.size == (960, 768)
        assert np.array_equal(np.asarray(picture)[24::48, 24::48], poster.pixels[0])  # sharp
    assert n_frames(tmp_path / "figures/progress.gif") == 5


def test_without_frames_there_is_no_animation(tmp_path: Path, tiny_poster: Make) -> None:
    write_figures(tmp_path, tiny_poster(), [])
    assert "progress.gif" not in {row["file"] for row in json.loads((tmp_path / "figures.json").read_text())}
    same = frames_in(tmp_path / "frames", 1) * 3
    assert not write_animation(tmp_path / "still.gif", same)
    assert not (tmp_path / "still.gif").exists()


def test_the_animation_keeps_within_its_bounds(tmp_path: Path) -> None:
    frames = frames_in(tmp_path / "frames", 70)
    assert write_animation(tmp_path / "all.gif", frames)
    assert n_frames(tmp_path / "all.gif") == 60
    with Image.open(tmp_path / "all.gif") as picture:
        assert picture.size == (480, 384)
        with Image.open(frames[0]) as first:
            assert np.array_equal(np.asarray(picture.convert("L"))[12::24, 12::24], np.asarray(first))
        picture.seek(59)
        with Image.open(frames[-1]) as last:
            assert np.array_equal(np.asarray(picture.convert("L"))[12::24, 12::24], np.asarray(last))
    whole = (tmp_path / "all.gif").stat().st_size
    assert write_animation(tmp_path / "less.gif", frames, limit=whole * 3 // 4)
    assert (tmp_path / "less.gif").stat().st_size <= whole * 3 // 4
    assert n_frames(tmp_path / "less.gif") == 60  # smaller first
    large = frames_in(tmp_path / "large", 9, (200, 300))
    assert write_animation(tmp_path / "few.gif", large, limit=200_000)
    assert (tmp_path / "few.gif").stat().st_size <= 200_000
    assert 2 <= n_frames(tmp_path / "few.gif") < 9
    with Image.open(tmp_path / "few.gif") as picture:
        assert max(picture.size) <= 240
        assert picture.width / picture.height == pytest.approx(1.5, rel=0.02)


def test_coloured_frames(tmp_path: Path) -> None:
    colours = [(255, 0, 0), (0, 255, 0)]
    frames = [tmp_path / f"{i}.png" for i in range(2)]
    for path, colour in zip(frames, colours, strict=True):
        Image.new("RGB", (6, 4), colour).save(path)
    assert write_animation(tmp_path / "a.gif", frames)
    with Image.open(tmp_path / "a.gif") as picture:
        for i, colour in enumerate(colours):
            picture.seek(i)
            assert picture.convert("RGB").getpixel((5, 5)) == colour


def test_names_are_written_into_their_areas(tiny_poster: Make) -> None:
    """A class without a visible name has an area that is only the poster, its outline aside."""
    dark = np.zeros((1, 16, 20), np.uint8)
    names = ("Wm",) * 10
    picture = np.asarray(overlay(tiny_poster(pixels=dark, class_names=names), 320)).astype(int)
    assert picture.shape == (256, 320, 3)
    areas = picture.reshape(2, 128, 5, 64, 3).transpose(0, 2, 1, 3, 4).reshape(10, 128, 64, 3)
    inner = areas[:, 8:-8, 8:-8]
    assert (inner.max((1, 2, 3)) > 250).all()
    assert (areas[:, 0].max((1, 2)) > 100).all()  # the outline


def test_many_long_names_still_fit(tiny_poster: Make) -> None:
    layout = Layout(size=(60, 120), image=(8, 8), patch=(8, 8), patches=(8, 8), grid=(10, 20), area=(6, 6))
    pixels, names = np.zeros((1, 60, 120), np.uint8), tuple(f"{i:03d}.Black_footed_Albatross" for i in range(200))
    order = np.arange(200).reshape(10, 20)
    picture = overlay(tiny_poster(pixels=pixels, layout=layout, order=order, class_names=names), 120)
    assert picture.width == 120 * 10  # cells of 60 pixels
    text, font = fitted(names[0], 54)
    assert text.startswith("000.Bl")
    assert text.endswith("..")
    assert font.getlength(text) <= 54
    assert fitted("cat", 100)[0] == "cat"
    assert fitted("__\n", 100)[0] == "?"


def test_patches_are_shown_with_their_labels(tiny_poster: Make) -> None:
    bright = np.full((1, 16, 20), 255, np.uint8)
    bright[..., 0] = 0
    sheet = np.asarray(samples(tiny_poster(pixels=bright), count=4, columns=2))
    assert sheet.shape == (2 * 112, 2 * 270, 4)
    assert (sheet[0, :, 3] == 0).all()  # the ground is the page's, light or dark
    assert (sheet[8:104, 8:20] == (0, 0, 0, 255)).all()  # the first patch starts at the dark column, 12 times enlarged
    assert (sheet[8:104, 20:104] == 255).all()
    assert (sheet[30, 112 : 112 + 75] == (70, 110, 190, 255)).all()  # its label: one half each of two classes
    assert (sheet[30, 112 + 80 : 112 + 150] == (*LABEL, 70)).all()


def test_unwhitening_gives_a_picture_back_where_patches_do_not_overlap(tiny_poster: Make) -> None:
    data = open_data("digits")
    images, _ = data.fetch(np.arange(2))
    assert isinstance(images, torch.Tensor)
    whitening = tiny_poster(whitened=True).whitening
    assert whitening is not None
    pixels, low, high = quantise(torch.cat(list(whitening.apply(images)), dim=2))
    layout = Layout(size=(8, 16), image=(8, 8), patch=(8, 8), patches=(1, 2), grid=(1, 2), area=(8, 8))
    parts = {"pixels": pixels, "low": low, "high": high, "layout": layout, "class_names": ("a", "b")}
    poster = tiny_poster(whitened=True, order=np.array([[0, 1]]), **parts)
    found = Canvas(layout).patches(torch.from_numpy(unwhitened(poster)).float())
    for image, original in zip(found, images, strict=True):
        assert np.corrcoef(image.ravel(), original.ravel())[0, 1] > 0.99
    larger = replace(layout, patch=(4, 4), patches=(2, 4), area=(8, 8))
    assert unwhitened(tiny_poster(whitened=True, order=np.array([[0, 1]]), **{**parts, "layout": larger})).shape == (
        1,
        8,
        16,
    )


def test_enlargement_is_by_whole_factors() -> None:
    pixels = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    assert enlarged(pixels, 10).size == (9, 6)
    assert enlarged(pixels, 2).size == (3, 2)
    assert np.array_equal(np.asarray(enlarged(np.repeat(pixels, 3, 0), 6))[::2, ::2, 1], pixels[0])
