"""CUB-200: what a user may have done to the archive, and the augmentation of the published fine-grained recipe."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from exuno.commandline.presets import resolve
from exuno.data import rng
from exuno.data.augmentation.augment import CROP, FLIP, GRAY, JITTER, ROTATE, STREAM, augment
from exuno.data.augmentation.colour import ORDERS
from exuno.data.augmentation.crop import crop_boxes
from exuno.data.images.photo import load_photo
from exuno.data.open import open_data
from exuno.engine.errors import ExunoError
from exuno.presets import read
from exuno.teach.options import TeachConfig

LISTS = {
    "images.txt": "1 001.Finch/a.jpg\n2 002.Gull/b.jpg\n3 002.Gull/c.jpg\n",
    "image_class_labels.txt": "1 1\n2 2\n3 2\n",
    "train_test_split.txt": "1 1\n2 0\n3 1\n",
    "classes.txt": "1 001.Finch\n2 002.Gull\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    base = tmp_path / "CUB_200_2011"
    for name in ("001.Finch/a.jpg", "002.Gull/b.jpg", "002.Gull/c.jpg"):
        (base / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 40), "green").save(base / "images" / name)
    for name, text in LISTS.items():
        (base / name).write_text(text)
    return tmp_path


def test_the_lists_say_who_is_who(root: Path) -> None:
    train, test = (open_data("cub200", split, root=root) for split in ("train", "test"))
    assert train.classes == test.classes == ("Finch", "Gull")
    assert train.fetch(np.arange(2))[1].tolist() == [0, 1]
    assert test.fetch(np.arange(1))[1].tolist() == [1]
    assert len(open_data("cub200", "test", root=root / "CUB_200_2011")) == 1, "the folder itself will do"


def test_the_archive_as_it_was_downloaded_is_told_how_to_unpack(root: Path) -> None:
    (root / "CUB_200_2011.tgz").write_bytes(b"packed")
    assert len(open_data("cub200", "train", root=root)) == 2, "unpacked beside it"
    (root / "CUB_200_2011").rename(root / "elsewhere")
    with pytest.raises(ExunoError, match=r"still packed.*tar xzf \S+CUB_200_2011\.tgz -C"):
        open_data("cub200", "train", root=root)


def test_missing_images_are_counted(root: Path) -> None:
    (root / "CUB_200_2011/images/002.Gull/c.jpg").unlink()
    with pytest.raises(ExunoError, match=r"1 of 2 images.*002\.Gull/c\.jpg"):
        open_data("cub200", "train", root=root)
    assert len(open_data("cub200", "test", root=root)) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [("images.txt", "1 001.Finch/a.jpg\n"), ("image_class_labels.txt", "1 one\n"), ("train_test_split.txt", "1 1 1\n")],
)
def test_lists_that_do_not_fit_each_other(name: str, text: str, root: Path) -> None:
    (root / "CUB_200_2011" / name).write_text(text)
    with pytest.raises(ExunoError, match="do not belong together"):
        open_data("cub200", "train", root=root)


def published(photo: np.ndarray, draw: int, size: int) -> np.ndarray:
    """One augmentation in the order of the published code, by PIL: crop, flip, rotation, gray, jitter; with the draws
    of exuno. Exuno rotates before it flips, which is the flip before a rotation the other way."""

    def uniform(slot: int, slots: int = 1) -> np.ndarray:
        return rng.uniforms(0, STREAM, np.array([draw]), slots, slot)[0]

    box = crop_boxes([torch.from_numpy(photo).permute(2, 0, 1)], (0.2, 1), (0.8, 1.25), uniform(CROP, 40)[None])
    ((top, left, height, width),) = box.tolist()
    image = Image.fromarray(photo).resize(
        (size, size), Image.Resampling.BILINEAR, (left, top, left + width, top + height)
    )
    flipped = uniform(FLIP)[0] < 0.5
    if flipped:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    angle = 45 * (2 * uniform(ROTATE)[0] - 1)
    image = image.rotate(-angle if flipped else angle, Image.Resampling.BILINEAR)
    if uniform(GRAY)[0] < 0.2:
        image = image.convert("L").convert("RGB")
    numbers = uniform(JITTER, 6)[1:]
    for which in ORDERS[int(numbers[4] * len(ORDERS))]:
        if which < 2:
            enhance = (ImageEnhance.Brightness, ImageEnhance.Contrast)[which]
            image = enhance(image).enhance(0.8 + 0.4 * numbers[which])
    return np.asarray(image, np.float32) / 255


def test_the_recipe_is_the_published_chain() -> None:
    """Up to the interpolation of the crop, and the rounding and clipping between the steps, on 24 draws."""
    config = resolve(TeachConfig, read("teach", "cub200-resnet50"))
    photo = np.ascontiguousarray(load_photo("photo:coffee")[::2, ::2])
    draws = np.arange(24)
    images = [torch.from_numpy(photo).permute(2, 0, 1)] * len(draws)
    found = augment(images, config.augment, 0, draws, (48, 48)).permute(0, 2, 3, 1).numpy()
    expected = np.stack([published(photo, draw, 48) for draw in draws.tolist()])
    apart = np.abs(found - expected).mean((1, 2, 3))
    assert apart.max() < 0.03, apart
    gray = (found == found[..., :1]).all((1, 2, 3))
    assert 1 <= gray.sum() <= 12
