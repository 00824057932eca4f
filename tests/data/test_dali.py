"""DALI's batches against those of the default loader: the same samples, up to interpolation. Skips without DALI."""

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from exuno.data import dali
from exuno.data.base import ArrayData
from exuno.data.dali import DaliLoader
from exuno.data.images.folder import FileData, open_folder
from exuno.data.loader import Batch, Loader
from exuno.engine.errors import ExunoError
from exuno.engine.options import Augment

pytest.importorskip("nvidia.dali", reason="NVIDIA DALI is not installed: pip install 'exuno[dali]'")

SIZE = (48, 56)
MEAN, LARGEST = 0.6 / 255, 14 / 255
"""What interpolation may change: the mean over an image, and a pixel (where solarisation does not turn the tables)."""

CROP = Augment(resized_crop=(0.2, 1.0))
EACH = {
    "nothing": Augment(),
    "crop": CROP,
    "flip": Augment(flip=0.5),
    "pad": Augment(pad=6),
    "rotation, shift, zoom": Augment(rotate=40, shift=0.1, zoom=0.2),
    "brightness": Augment(jitter=(0.5, 0, 0, 0)),
    "contrast": Augment(jitter=(0, 0.5, 0, 0)),
    "saturation": Augment(jitter=(0, 0, 0.5, 0)),
    "hue": Augment(jitter=(0, 0, 0, 0.3), jitter_p=0.7),
    "gray": Augment(gray=0.5),
    "cutout": Augment(cutout=16),
    "all": Augment(
        resized_crop=(0.2, 1.0),
        flip=0.5,
        pad=3,
        rotate=20,
        jitter=(0.4, 0.4, 0.4, 0.1),
        jitter_p=0.8,
        gray=0.2,
        cutout=9,
    ),
}


def picture(seed: int, height: int, width: int) -> Image.Image:
    """A smooth picture with some texture, different in every corner."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
    pixels = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray((pixels + rng.integers(-6, 7, pixels.shape)).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> FileData:
    """Twelve JPEG and PNG files of various sizes and kinds, two classes."""
    root = tmp_path_factory.mktemp("images")
    exif = Image.Exif()
    exif[0x0112] = 6
    for i in range(12):
        image = picture(i, 60 + 17 * i % 90, 70 + 29 * i % 100)
        folder = root / "ab"[i % 2]
        folder.mkdir(exist_ok=True)
        if i == 3:
            image.save(folder / f"{i:02}.png")
        elif i == 4:
            image.convert("L").save(folder / f"{i:02}.jpg", quality=90)
        elif i == 5:
            image.convert("CMYK").save(folder / f"{i:02}.jpg", quality=90)
        elif i == 6:
            image.save(folder / f"{i:02}.jpg", quality=90, exif=exif)
        elif i == 7:
            image.convert("RGBA").rotate(20).save(folder / f"{i:02}.png")
        else:
            image.save(folder / f"{i:02}.jpg", quality=90, progressive=i % 3 == 0)
    return open_folder(root, "train")


def both(data: FileData, augment: Augment, epoch: int = 0, **options: Any) -> list[tuple[Batch, Batch]]:
    """The batches of an epoch by the default loader and by DALI."""
    plain, fast = (kind(data, 4, augment, seed=5, size=SIZE, **options) for kind in (Loader, DaliLoader))
    return list(zip(plain.epoch(epoch), fast.epoch(epoch), strict=True))


def differences(pairs: list[tuple[Batch, Batch]]) -> tuple[float, float]:
    """The largest mean over an image, and the largest of a pixel."""
    apart = torch.cat([(a["images"] - b["images"]).abs() for a, b in pairs])
    return apart.mean((1, 2, 3)).max().item(), apart.max().item()


@pytest.mark.parametrize("name", EACH)
def test_the_same_samples(data: FileData, name: str) -> None:
    pairs = both(data, EACH[name], epoch=1)
    assert len(pairs) == 3
    for plain, fast in pairs:
        assert fast["images"].dtype == torch.float32
        assert fast["images"].shape == (4, 3, *SIZE)
        assert torch.equal(plain["index"], fast["index"])
        assert torch.equal(plain["labels"], fast["labels"])
    mean, largest = differences(pairs)
    assert mean < MEAN
    assert largest < LARGEST


def test_solarisation(data: FileData) -> None:
    """A pixel at the threshold may fall on either side of it, so single pixels may be far apart."""
    assert differences(both(data, Augment(solarize=0.5)))[0] < 2 * MEAN


def test_wrong_boxes_flips_and_factors_are_far_beyond_the_tolerance(data: FileData, monkeypatch) -> None:
    moved = dali.boxes
    monkeypatch.setattr(dali, "boxes", lambda *args: np.maximum(moved(*args) - [2, 0, 0, 0], 0))  # two pixels higher
    assert differences(both(data, CROP))[0] > 5 * MEAN
    monkeypatch.undo()
    ended = dali.finish
    for wrong in (Augment(flip=0.51), Augment(jitter=(0.55, 0, 0, 0)), Augment(jitter=(0, 0, 0, 0.33))):
        right = Augment(flip=1.0) if wrong.flip else EACH["brightness" if wrong.jitter[0] else "hue"]
        monkeypatch.setattr(dali, "finish", lambda x, _, *rest, wrong=wrong: ended(x, wrong, *rest))
        assert differences(both(data, right))[0] > 5 * MEAN, wrong


def test_whole_images_are_covered_and_cut_in_the_middle(data: FileData, monkeypatch) -> None:
    whole = dali.cover
    monkeypatch.setattr(dali, "cover", lambda *args: (whole(*args)[0], (0, 0)))  # the upper left corner instead
    assert differences(both(data, Augment()))[0] > 5 * MEAN


def test_threads_change_nothing(data: FileData) -> None:
    one, three = (DaliLoader(data, 5, EACH["all"], 1, SIZE, threads=n) for n in (1, 3))
    for epoch in (0, 1):  # the second on pipelines that were used before
        pairs = list(zip(one.epoch(epoch), three.epoch(epoch), strict=True))
        assert len(pairs) == 2
        assert all(torch.equal(a[key], b[key]) for a, b in pairs for key in a)


def test_an_epoch_goes_on_in_its_middle(data: FileData) -> None:
    loader = DaliLoader(data, 4, EACH["all"], 1, SIZE)
    whole = list(loader.epoch(2))
    next(loader.epoch(2))  # left early: it must not leave batches behind
    rest = list(DaliLoader(data, 4, EACH["all"], 1, SIZE).epoch(2, 1))
    again = list(loader.epoch(2, 1))
    assert len(rest) == len(again) == 2
    for a, b, c in zip(whole[1:], rest, again, strict=True):
        assert all(torch.equal(a[key], b[key]) and torch.equal(a[key], c[key]) for key in a)


def test_processes_share_a_batch(data: FileData) -> None:
    whole = list(DaliLoader(data, 8, EACH["all"], 1, SIZE).epoch(0))
    parts = [list(DaliLoader(data, 8, EACH["all"], 1, SIZE, rank=rank, world=2).epoch(0)) for rank in (0, 1)]
    [batch] = whole
    at = {index: row for row, index in enumerate(batch["index"].tolist())}
    seen = []
    for [part] in parts:
        rows = [at[index] for index in part["index"].tolist()]
        assert len(rows) == 4
        assert torch.equal(part["images"], batch["images"][rows])
        seen += rows
    assert sorted(seen) == list(range(8))


@pytest.mark.parametrize("bits", ["", "@12bit"])
def test_what_dali_would_read_otherwise(tmp_path: Path, bits: str) -> None:
    """16 bits, floats, transparency, palettes, CMYK, and a wrong suffix: these files come from the one decoder."""
    smooth = [np.asarray(picture(i, 60, 70).convert("L"), np.uint16) for i in range(8)]
    alpha = Image.fromarray((smooth[1] // 2).astype(np.uint8))
    clear = picture(2, 60, 70)
    clear.putalpha(alpha)
    kinds = {
        "gray.png": Image.fromarray(smooth[0] * 16),
        "gray.tif": Image.fromarray(smooth[3] * 16),
        "float.tif": Image.fromarray(smooth[4].astype(np.float32) / 255),
        "clear.png": clear,
        "palette.png": clear.quantize(32),
        "la.png": clear.convert("LA"),
        "cmyk.jpg": picture(5, 60, 70).convert("CMYK"),
        "plain.jpg": picture(6, 60, 70),
    }
    for name, image in kinds.items():
        image.save(tmp_path / name)
    (tmp_path / "wrong.jpg").write_bytes((tmp_path / "gray.png").read_bytes())
    data = open_folder(Path(f"{tmp_path}{bits}"), "train")
    assert data.bits == (12 if bits else None)
    mean, largest = differences(both(data, CROP))
    assert mean < MEAN
    assert largest < LARGEST


def folder_with(tmp_path: Path, content: bytes) -> FileData:
    for i in range(3):
        picture(i, 60, 70).save(tmp_path / f"{i}.jpg")
    (tmp_path / "z.jpg").write_bytes(content)
    return open_folder(tmp_path, "train")


def jpeg() -> bytearray:
    stream = io.BytesIO()
    picture(9, 80, 90).save(stream, "JPEG")
    return bytearray(stream.getvalue())


def broken_table() -> bytes:
    content = jpeg()
    table = content.index(b"\xff\xc4") + 5
    content[table : table + 25] = b"\xff" * 25
    return bytes(content)


@pytest.mark.parametrize("content", [bytes(jpeg()[:500]), b"", broken_table()], ids=["cut off", "empty", "bad table"])
def test_a_damaged_file_gets_the_default_message(tmp_path: Path, content: bytes) -> None:
    data, said = folder_with(tmp_path, content), []
    for kind in (Loader, DaliLoader):
        with pytest.raises(ExunoError) as told:
            list(kind(data, 2, CROP, 0, SIZE).epoch(0))
        said.append(str(told.value))
    assert said[0] == said[1]
    assert "z.jpg" in said[0]


def test_what_only_dali_refuses_is_prepared_without_it(data: FileData, monkeypatch) -> None:
    plain = list(Loader(data, 4, CROP, 5, SIZE).epoch(0))
    loader = DaliLoader(data, 4, CROP, 5, SIZE)
    wanted, sent = int(plain[1]["index"][0]), loader.inputs._file
    nonsense = dali._File(np.frombuffer(broken_table(), np.uint8), (80, 90))
    monkeypatch.setattr(loader.inputs, "_file", lambda position: nonsense if position == wanted else sent(position))
    with pytest.warns(UserWarning, match="DALI refused") as told:
        found = list(loader.epoch(0))
    assert len(told) == 1  # the batches after it are DALI's again
    assert torch.equal(found[1]["images"], plain[1]["images"])
    assert [b["index"].tolist() for b in found] == [b["index"].tolist() for b in plain]
    assert differences(list(zip(plain, found, strict=True)))[0] < MEAN


def test_data_that_are_no_files() -> None:
    digits = ArrayData("made up", np.zeros((8, 3, 4, 4), np.uint8), np.zeros(8, np.int64))
    with pytest.raises(ExunoError, match=r"made up holds no such files.*Leave out --loader dali"):
        DaliLoader(digits, 4, Augment())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_dali_cannot_use(data: FileData) -> None:
    loader = DaliLoader(data, 4, Augment(), device=torch.device("cuda", 0))
    with pytest.raises(ExunoError, match="DALI cannot start on cuda:0"):
        next(loader.epoch(0))


def test_without_the_package(data: FileData, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "nvidia.dali", None)
    with pytest.raises(ExunoError, match=r"pip install 'exuno\[dali\]'"):
        DaliLoader(data, 4, Augment())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("name", ["crop", "all"])
def test_the_same_samples_on_a_gpu(data: FileData, name: str) -> None:
    fast = DaliLoader(data, 4, EACH[name], 5, SIZE, device=torch.device("cuda", 0))
    plain, found = list(Loader(data, 4, EACH[name], 5, SIZE).epoch(0)), list(fast.epoch(0))
    assert all(batch["images"].device.type == "cuda" for batch in found)
    pairs = [(a, {**b, "images": b["images"].cpu()}) for a, b in zip(plain, found, strict=True)]
    assert differences(pairs)[0] < 3 * MEAN  # its decoder has a transform of its own
