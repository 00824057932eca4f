"""The general data specs, each on a small data set of its format made here."""

import gzip
import io
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from exuno.data.names import kept_open
from exuno.data.open import _pixels, open_data
from exuno.engine.errors import ExunoError

RNG = np.random.default_rng(0)


def noise(height: int, width: int) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), np.uint8)


def picture(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


# digits


def test_digits() -> None:
    train, test = open_data("digits", "train"), open_data("digits", "test")
    assert (len(train), len(test)) == (1442, 355)
    assert (train.num_classes, train.classes, train.channels) == (10, tuple("0123456789"), 1)
    assert (train.mean, train.std) == (test.mean, test.std)
    images, labels = train.fetch(np.arange(len(train)))
    assert isinstance(images, torch.Tensor)
    assert images.shape == (1442, 1, 8, 8)
    assert (images.min(), images.max()) == (0, 255)
    assert labels.bincount().min() > 135
    assert images.double().mean().item() / 255 == pytest.approx(train.mean[0], abs=1e-6)
    assert images.double().std(correction=0).item() / 255 == pytest.approx(train.std[0], abs=1e-6)


def test_the_splits_of_digits_are_disjoint_and_fixed() -> None:
    from sklearn.datasets import load_digits

    images = load_digits().images  # pyright: ignore
    train, test = (open_data("digits", s).fetch(np.arange(n))[0] for s, n in (("train", 1442), ("test", 355)))
    assert isinstance(train, torch.Tensor)
    assert isinstance(test, torch.Tensor)
    both = torch.cat([train, test])[:, 0].numpy()
    ours = sorted(image.tobytes() for image in both)
    assert ours == sorted(np.round(image * 255 / 16).astype(np.uint8).tobytes() for image in images)
    assert open_data("digits", "test").fingerprint().startswith("71131c7ddbcd")


def test_items_are_torch_like() -> None:
    data = open_data("digits", "test")
    image, label = data[3]
    assert image.shape == (1, 8, 8)
    assert isinstance(label, int)
    with pytest.raises(IndexError):
        data[len(data)]


def test_digits_import_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from exuno.data.open import open_data\n"
        "from exuno.data.loader import Loader\n"
        "from exuno.engine.options import Augment\n"
        "from exuno.models.load import load_model\n"
        "data = open_data('digits')\n"
        "model = load_model('exuno:resnet8', classes=10, in_chans=1, input_size=(8, 8), pretrained=False)\n"
        "batch = next(Loader(data, 8, Augment(rotate=10, pad=1, flip=.5, cutout=2)).epoch(0))\n"
        "model(batch['images'])\n"
        "print([name for name in ('torchvision', 'timm', 'sklearn', 'scipy') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_options_need_no_torch() -> None:
    code = "import sys, exuno.models.card, exuno.models.registry, exuno.data.constants; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# folder:


def test_folder_with_splits(tmp_path: Path) -> None:
    pixels = noise(20, 30)
    for split, count in (("train", 3), ("val", 1)):
        for name in ("cat", "dog"):
            for i in range(count):
                picture(tmp_path / split / name / f"{i}.png", pixels)
    (tmp_path / "train/dog/notes.txt").write_text("not a picture")
    train, test = (open_data(f"folder:{tmp_path}", split) for split in ("train", "test"))
    assert (len(train), len(test)) == (6, 2)
    assert (train.classes, train.num_classes, train.channels) == (("cat", "dog"), 2, 3)
    images, labels = train.fetch(np.array([5, 0]))
    assert labels.tolist() == [1, 0]
    assert np.array_equal(images[0].permute(1, 2, 0).numpy(), pixels)
    assert train.fingerprint() != test.fingerprint()
    assert train.fingerprint() == open_data(f"folder:{tmp_path}").fingerprint()


def test_folder_of_classes_one_of_which_is_called_train(tmp_path: Path) -> None:
    for name in ("car", "train", "ship"):
        picture(tmp_path / name / "deep/a.png", noise(8, 8))
    data = open_data(f"folder:{tmp_path}", "test")
    assert data.classes == ("car", "ship", "train")
    assert data.image_size == (8, 8)


def test_folder_without_classes(tmp_path: Path) -> None:
    for i in range(3):
        picture(tmp_path / f"{i}.webp", noise(100 + i, 90))
    data = open_data(f"folder:{tmp_path}")
    images, labels = data.fetch(np.arange(3))
    assert labels.tolist() == [-1, -1, -1]
    assert (data.num_classes, data.classes) == (0, None)
    assert [image.shape for image in images] == [(3, 100, 90), (3, 101, 90), (3, 102, 90)]
    assert (data.image_size, data.resize) == ((224, 224), 256)


def test_small_pictures_that_lie_have_the_size_that_they_are_seen_in(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[0x0112] = 6
    Image.new("RGB", (20, 10)).save(tmp_path / "lying.jpg", exif=tags)
    data = open_data(f"folder:{tmp_path}")
    assert data.image_size == tuple(data.fetch(np.array([0]))[0][0].shape[1:]) == (20, 10)


def test_a_test_class_may_be_absent_but_not_new(tmp_path: Path) -> None:
    for path in ("train/a/1.png", "train/b/1.png", "test/b/1.png"):
        picture(tmp_path / path, noise(4, 4))
    assert open_data(f"folder:{tmp_path}", "test").fetch(np.array([0]))[1].tolist() == [1]
    picture(tmp_path / "test/c/1.png", noise(4, 4))
    with pytest.raises(ExunoError, match=r"has classes that .* has not: c"):
        open_data(f"folder:{tmp_path}", "test")


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", noise(30, 30))
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:200])
    with pytest.raises(ExunoError, match=r"a\.png"):
        open_data(f"folder:{tmp_path}").fetch(np.array([0]))


# npz:


def medmnist(path: Path, colour: bool = True, **more: np.ndarray) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for split, count in (("train", 10), ("val", 3), ("test", 4)):
        arrays[f"{split}_images"] = RNG.integers(0, 256, (count, 28, 28, 3) if colour else (count, 28, 28), np.uint8)
        arrays[f"{split}_labels"] = (np.arange(count)[:, None] % 3).astype(np.uint8)
    np.savez(path, **(arrays | more))  # pyright: ignore
    return arrays


@pytest.mark.parametrize("colour", [True, False])
def test_npz(colour: bool, tmp_path: Path) -> None:
    arrays = medmnist(tmp_path / "m.npz", colour)
    train, test = (open_data(f"npz:{tmp_path}/m.npz", split) for split in ("train", "test"))
    assert (len(train), len(test), train.num_classes, test.num_classes) == (10, 4, 3, 3)
    images, labels = test.fetch(np.array([2, 1]))
    expected = arrays["test_images"][[2, 1]]
    shown = images.permute(0, 2, 3, 1).numpy() if colour else images[:, 0].numpy()  # pyright: ignore
    assert np.array_equal(shown, expected)
    assert labels.tolist() == [2, 1]
    assert test.mean == train.mean
    assert train.mean == pytest.approx(arrays["train_images"].reshape(10, 28, 28, -1).mean((0, 1, 2)) / 255, abs=1e-5)


def test_npz_names_and_flat_labels(tmp_path: Path) -> None:
    names = np.array(["a", "b", "c", "d"])
    medmnist(tmp_path / "m.npz", class_names=names, train_labels=np.arange(10) % 2)
    data = open_data(f"npz:{tmp_path}/m.npz")
    assert (data.classes, data.num_classes) == (("a", "b", "c", "d"), 4)


def test_npz_without_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "u.npz", train_images=noise(5, 6)[None])
    data = open_data(f"npz:{tmp_path}/u.npz")
    assert (data.num_classes, data.fetch(np.array([0]))[1].tolist()) == (0, [-1])


@pytest.mark.parametrize(
    ("change", "split", "told"),
    [
        ({}, "extra", "no extra_images; its arrays are train_images"),
        (
            {"train_images": np.zeros((10, 4, 4), np.complex64)},
            "train",
            r"train_images of .* is complex64 \[10, 4, 4\]",
        ),
        ({"train_labels": np.zeros((10, 14), np.int64)}, "train", r"\[10, 14\]"),
        ({"train_labels": np.zeros(9, np.int64)}, "train", "10 train_images and 9 train_labels"),
        ({"class_names": np.array(["a", "b"])}, "train", "names 2 classes, its labels go up to 2"),
        ({"class_names": np.array(["a", None, 3], dtype=object)}, "train", "holds Python objects"),
    ],
)
def test_npz_mistakes(change: dict, split: str, told: str, tmp_path: Path) -> None:
    medmnist(tmp_path / "m.npz", **change)
    with pytest.raises(ExunoError, match=told):
        open_data(f"npz:{tmp_path}/m.npz", split)


def test_npz_cut_off(tmp_path: Path) -> None:
    medmnist(tmp_path / "m.npz")
    whole = (tmp_path / "m.npz").read_bytes()
    (tmp_path / "m.npz").write_bytes(whole[:1000])
    with pytest.raises(ExunoError, match=r"m\.npz cannot be read"):
        open_data(f"npz:{tmp_path}/m.npz")


# wds:


def shard(path: Path, samples: Sequence[tuple[str, np.ndarray, bytes | None]], suffix: str = "png") -> None:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for key, pixels, label in samples:
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG" if suffix == "png" else "WEBP", lossless=True)
            members = [(f"{key}.{suffix}", buffer.getvalue())] + ([(f"{key}.cls", label)] if label is not None else [])
            for name, content in members:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize("ending", [".tar", ".tar.gz"])
def test_shards(ending: str, tmp_path: Path) -> None:
    pixels = [noise(10 + i, 12) for i in range(6)]
    for k in range(3):
        samples = [(f"img{i:03}", pixels[i], f"{i % 4}\n".encode()) for i in (2 * k, 2 * k + 1)]
        shard(tmp_path / f"s-{k:02}{ending}", samples, "webp" if k == 1 else "png")
    data = open_data(f"wds:{tmp_path}/s-{{00..02}}{ending}")
    assert (len(data), data.num_classes) == (6, 4)
    images, labels = data.fetch(np.array([5, 0, 3]))
    assert labels.tolist() == [1, 0, 3]
    for image, i in zip(images, (5, 0, 3), strict=True):
        assert np.array_equal(image.permute(1, 2, 0).numpy(), pixels[i])
    starred = open_data(f"wds:{tmp_path}/s-*{ending}")
    listed = open_data(f"wds:{tmp_path}/s-{{00,01,02}}{ending}")
    assert starred.fingerprint() == data.fingerprint() == listed.fingerprint()


def test_shards_with_split_and_names_and_without_labels(tmp_path: Path) -> None:
    shard(tmp_path / "train-0.tar", [("a", noise(4, 4), b"1")])
    shard(tmp_path / "test-0.tar", [("a", noise(4, 4), b"0"), ("b", noise(4, 4), b"1")])
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    data = open_data(f"wds:{tmp_path}/{{split}}-{{0..0}}.tar", "test")
    assert (len(data), data.classes) == (2, ("cat", "dog"))
    (tmp_path / "classes.txt").write_text("cat\ndog\nowl\n\n")
    assert open_data(f"wds:{tmp_path}/test-0.tar").num_classes == 3
    shard(tmp_path / "bare.tar", [("sub/a", noise(4, 4), None), ("other/a", noise(4, 4), None)])
    bare = open_data(f"wds:{tmp_path}/bare.tar")
    assert (len(bare), bare.num_classes, bare.fetch(np.array([1]))[1].tolist()) == (2, 0, [-1])


def test_shards_are_those_of_webdataset(tmp_path: Path) -> None:
    wds = pytest.importorskip("webdataset")
    pixels = noise(9, 9)
    with wds.TarWriter(str(tmp_path / "w.tar")) as sink:
        for i in range(3):
            sink.write({"__key__": f"k{i}", "png": pixels, "cls": i})
    data = open_data(f"wds:{tmp_path}/w.tar")
    images, labels = data.fetch(np.arange(3))
    assert labels.tolist() == [0, 1, 2]
    assert np.array_equal(images[2].permute(1, 2, 0).numpy(), pixels)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda p: shard(p, [("a", noise(4, 4), b"cat")]), "label that is no class"),
        (lambda p: shard(p, [("a", noise(4, 4), b"-1")]), "label that is no class"),
        (lambda p: shard(p, [("a", noise(4, 4), b"1"), ("b", noise(4, 4), None)]), r"b\.png has no label"),
        (lambda p: p.write_bytes(b"x" * 2000), "not a whole tar"),
        (lambda p: p.write_bytes(b""), "not a whole tar|no images"),
        (lambda p: tarfile.open(p, "w").close(), "no images"),
        (lambda p: None, "no shard"),
    ],
)
def test_broken_shards(make, told: str, tmp_path: Path) -> None:
    make(tmp_path / "s.tar")
    with pytest.raises(ExunoError, match=told):
        open_data(f"wds:{tmp_path}/s.tar")


def test_a_shard_cut_off_after_indexing(tmp_path: Path) -> None:
    shard(tmp_path / "s.tar", [("a", noise(40, 40), b"0")])
    data = open_data(f"wds:{tmp_path}/s.tar")
    (tmp_path / "s.tar").write_bytes((tmp_path / "s.tar").read_bytes()[:1500])
    with pytest.raises(ExunoError, match=r"a\.png in .*s\.tar"):
        data.fetch(np.array([0]))


def test_shards_of_the_shared_folder(shared: Path) -> None:
    data = open_data(f"wds:{shared}/data/imagenet_sample_1000/images.tar.gz")
    assert (len(data), data.num_classes) == (1000, 1000)
    images, labels = data.fetch(np.array([999, 0]))
    assert labels.tolist() == [999, 0]
    assert all(min(image.shape[1:]) == 256 for image in images)


# Mistakes


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("digit", "Did you mean digits"),
        ("imagnet", "Did you mean imagenet"),
        ("lmdb:x", "unknown data prefix 'lmdb:'"),
        ("folder:", "nothing after the colon"),
        ("folder:/nowhere", "no folder /nowhere"),
        ("npz:/nowhere.npz", r"no file /nowhere\.npz"),
        ("wds:/nowhere-{0..2}.tar", r"no shard /nowhere-0\.tar"),
        ("wds:/nowhere-*.tar", "no file matches"),
    ],
)
def test_specs_that_do_not_open(spec: str, told: str) -> None:
    with pytest.raises(ExunoError, match=told):
        open_data(spec)


def test_a_spec_that_is_no_text(tmp_path: Path) -> None:
    spec: Any = tmp_path
    with pytest.raises(ExunoError, match=f"this is a PosixPath. Did you mean 'folder:{tmp_path}'"):
        open_data(spec)


def test_a_path_without_prefix_gets_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ExunoError, match=f"Did you mean folder:{tmp_path}"):
        open_data(str(tmp_path))


def test_digits_has_two_splits() -> None:
    with pytest.raises(ExunoError, match="no split 'val'"):
        open_data("digits", "val")


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ExunoError, match="no images"):
        open_data(f"folder:{tmp_path}")
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
    with pytest.raises(ExunoError, match="no split 'extra'"):
        open_data(f"folder:{tmp_path}", "extra")


def test_gzip_cut_off(tmp_path: Path) -> None:
    (tmp_path / "s.tar.gz").write_bytes(gzip.compress(b"0" * 5000)[:-12])
    with pytest.raises(ExunoError, match="not a whole tar"):
        open_data(f"wds:{tmp_path}/s.tar.gz")


MODULE = """
import numpy as np
from PIL import Image
pixels = np.random.default_rng(0).integers(0, 2, (6, 8, 8, 3), np.uint8) * 255
def colours(split): return [(Image.fromarray(each), number % 2) for number, each in enumerate(pixels)]
def palette(split): return [(image.quantize(), label) for image, label in colours(split)]
def clear(split): return [(image.convert("RGBA"), label) for image, label in colours(split)]
def gray(split): return [(image.convert("L"), label) for image, label in colours(split)]
def nosplit(): return []
class Broken(list):
    def __getitem__(self, number): raise OSError("no such disk")
def broken(split): return Broken(colours(split))
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "pictures_of_mine.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pictures_of_mine", raising=False)
    return "pictures_of_mine"


def test_pictures_of_a_module_are_seen_whatever_their_mode(mine: str) -> None:
    plain, *others = (
        open_data(f"{mine}:{name}", "test").fetch(np.arange(6))[0] for name in ("colours", "palette", "clear")
    )
    assert all(torch.equal(torch.as_tensor(plain), torch.as_tensor(each)) for each in others)
    assert open_data(f"{mine}:gray", "test").channels == 1


def test_what_a_module_raises_is_a_sentence(mine: str) -> None:
    with pytest.raises(
        ExunoError, match=r"nosplit cannot be made .TypeError: .*. It is called with split='test' alone"
    ):
        open_data(f"{mine}:nosplit", "test")
    with pytest.raises(ExunoError, match=r"gives no pairs .* no such disk"):
        open_data(f"{mine}:broken", "test")


def test_gray_pictures_of_a_module_are_turned_and_laid_on_white() -> None:
    pixels, tag = np.arange(64, dtype=np.uint8).reshape(8, 8), Image.Exif()
    tag[0x0112] = 6
    clear = np.where(pixels == 3, 255, pixels)
    cases: list[tuple[dict[str, Any], np.ndarray]] = [
        ({"exif": tag}, np.rot90(pixels, -1)),
        ({"transparency": 3}, clear),
    ]
    for options, wanted in cases:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG", **options)
        assert np.array_equal(_pixels(Image.open(file), "it"), wanted)


@pytest.mark.parametrize(("mode", "kind"), [("I;16", np.uint16), ("I", np.int32), ("F", np.float32)])
def test_deep_gray_pictures_of_a_module_keep_their_values(mode: str, kind: Any) -> None:
    picture = Image.fromarray(np.arange(64, dtype=kind).reshape(8, 8))
    assert picture.mode == mode
    assert np.array_equal(_pixels(picture, "it"), np.arange(64).reshape(8, 8))


def test_dry_runs_in_a_row_open_data_once() -> None:
    with kept_open():
        first = open_data("digits", "test")
        assert open_data("digits", "test") is first
        assert open_data("digits", "train") is not first
    assert open_data("digits", "test") is not first
