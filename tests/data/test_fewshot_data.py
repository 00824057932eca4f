"""The few-shot benchmarks and Omniglot: their lists, and images laid out as they are published."""

import io
import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exuno.data.named.fewshot import FEWSHOT, PARTS, class_groups, class_lists
from exuno.data.named.omniglot import open_runs
from exuno.data.open import open_data
from exuno.data.subset import SubsetData, choose
from exuno.engine.errors import ExunoError
from exuno.fewshot.classes import Part, open_classes
from exuno.fewshot.options import Classes

COUNTS = {
    "cifar-fs": (64, 16, 20),
    "fc100": (60, 20, 20),
    "mini-imagenet": (64, 16, 20),
    "tiered-imagenet": (351, 97, 160),
}


def cifar100(root: Path, names: list[str]) -> None:
    """The official files: 2 training images and 1 test image a class; the red value is the class."""
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    for file, each in (("train", 2), ("test", 1)):
        labels = np.tile(np.arange(100), each)
        content = {b"data": np.repeat(labels[:, None], 3072, 1).astype(np.uint8), b"fine_labels": labels.tolist()}
        (folder / file).write_bytes(pickle.dumps(content, 2))
    (folder / "meta").write_bytes(pickle.dumps({b"fine_label_names": [name.encode() for name in names]}, 2))


def png(side: int, value: int = 255) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((side, side), value, np.uint8)).convert("1").save(stream, "PNG")
    return stream.getvalue()


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.mark.parametrize("name", FEWSHOT)
def test_the_lists_are_complete_and_share_no_class(name: str) -> None:
    lists = class_lists(name)
    assert tuple(len(lists[part]) for part in PARTS) == COUNTS[name]
    assert len({each for names in lists.values() for each in names}) == sum(COUNTS[name])
    if name == "tiered-imagenet":
        assert [len(class_groups(name)[part]) for part in PARTS] == [20, 6, 8]
    if name == "fc100":
        groups = class_groups(name)
        assert [len(groups[part]) for part in PARTS] == [12, 4, 4]
        assert {len(names) for part in PARTS for names in groups[part].values()} == {5}


@pytest.mark.parametrize("name", FEWSHOT)
def test_the_lists_are_the_published_ones(name: str, shared: Path) -> None:
    published = json.loads((shared / f"data/fewshot/{name.replace('-', '_')}_classes.json").read_text())
    for part in PARTS:
        if name == "tiered-imagenet":
            pairs = {(each, group) for group, names in class_groups(name)[part].items() for each in names}
            assert pairs == {(wnid, category) for wnid, category in published[part]}
        else:
            assert class_lists(name)[part] == tuple(sorted(published[part]))
    if name == "fc100":
        assert all(set(class_groups(name)[part]) == set(published["coarse"][part]) for part in PARTS)


@pytest.mark.parametrize("name", ["cifar-fs", "fc100"])
def test_cifar_benchmarks_take_training_and_test_images(name: str, tmp_path: Path) -> None:
    names = sorted(each for part in class_lists("fc100").values() for each in part)
    cifar100(tmp_path, names)
    seen = []
    for part, count in zip(PARTS, COUNTS[name], strict=True):
        data = open_data(name, part, root=tmp_path)
        assert (len(data), data.num_classes, data.image_size) == (3 * count, count, (32, 32))
        assert data.mean[0] == 129.37731888 / 255
        images, labels = data.fetch(np.arange(len(data)))
        assert data.classes is not None
        assert [data.classes[label] for label in labels] == [names[int(image[0, 0, 0])] for image in images]
        seen += images[:, 0, 0, 0].tolist()  # type: ignore[call-overload]
        assert open_classes(name, part, Classes(), tmp_path, 0).fingerprint() == data.fingerprint()  # type: ignore[union-attr,arg-type]
    assert sorted(seen) == sorted(3 * list(range(100)))
    with pytest.raises(ExunoError, match="no split 'middle'"):
        open_data(name, "middle", root=tmp_path)


def test_cifar_of_other_names_is_refused(tmp_path: Path) -> None:
    cifar100(tmp_path, [f"c{i}" for i in range(100)])
    with pytest.raises(ExunoError, match="does not name the classes apple"):
        open_data("cifar-fs", root=tmp_path)


@pytest.mark.parametrize("layout", ["mini-imagenet/{split}", "mini-imagenet", "imagenet/train", "train"])
def test_mini_imagenet_in_folders(layout: str, tmp_path: Path) -> None:
    content = png(5)
    for split, wnids in class_lists("mini-imagenet").items():
        for wnid in wnids:
            write(tmp_path / layout.format(split=split) / wnid / f"{wnid}_1.png", content)
    for split, count in zip(PARTS, COUNTS["mini-imagenet"], strict=True):
        data = open_data("mini-imagenet", split, root=tmp_path)
        assert (len(data), data.classes) == (count, class_lists("mini-imagenet")[split])
        assert data.fetch(np.array([7]))[1].tolist() == [7]


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("cifar-fs", "cifar-fs/{train,val,test}"),
        ("cifar-fs", "CIFAR_FS/{meta-train,meta-val,meta-test}"),
        ("fc100", "FC100/{train,val,test}"),
        ("fc100", "fc100/{base,val,novel}"),
        ("mini-imagenet", "miniImagenet/{train,val,test}"),
        ("mini-imagenet", "mini_imagenet/{train,valid,test}"),
        ("mini-imagenet", "miniimagenet/miniimagenet/{Train,Validation,Test}"),
        ("mini-imagenet", "mini-imagenet/{base,val,novel}"),
        ("mini-imagenet", "miniImageNet--ravi/{meta_train,meta_val,meta_test}"),
        ("mini-imagenet", "./{train,val,test}"),
        ("tiered-imagenet", "tieredImageNet/{train,val,test}"),
    ],
)
def test_parts_in_folders_of_their_own(name: str, layout: str, tmp_path: Path) -> None:
    """In the spellings of few-shot repositories, with classes of any name; the numbers of classes are the published."""
    base, _, words = layout.partition("/{")
    content = png(32)
    for word, count in zip(words.rstrip("}").split(","), COUNTS[name], strict=True):
        for i in range(count):
            write(tmp_path / base / word / f"class {i:03}" / f"{i}.png", content)
    for split, count in zip(PARTS, COUNTS[name], strict=True):
        data = open_data(name, split, root=tmp_path)
        assert (len(data), data.num_classes, data.image_size, data.name) == (count, count, (32, 32), f"{name}/{split}")
        assert data.fetch(np.array([7]))[1].tolist() == [7]
        assert (data.mean[0] == 129.37731888 / 255) == (name in ("cifar-fs", "fc100"))
        assert data.classes is not None
        assert data.classes[7] == "class 007"
    with pytest.raises(ExunoError, match="no split 'middle'"):
        open_data(name, "middle", root=tmp_path)
    (tmp_path / base / words.split(",")[0] / "class 000/0.png").unlink()
    (tmp_path / base / words.split(",")[0] / "class 000").rmdir()
    if base != ".":
        with pytest.raises(ExunoError, match=f"has {COUNTS[name][0] - 1} class folders, train of {name} has"):
            open_data(name, "train", root=tmp_path)


def test_cifar100_in_folders_is_no_part(tmp_path: Path) -> None:
    names = sorted(each for part in class_lists("fc100").values() for each in part)
    for split in ("train", "test"):
        for each in names:
            write(tmp_path / split / each / "a.png", png(32))
    assert [len(open_data("fc100", part, root=tmp_path)) for part in PARTS] == [120, 40, 40]
    with pytest.raises(ExunoError, match=r"fc100 is not in .*fc100/train/CLASS, val and test, or CIFAR-100"):
        open_data("fc100", root=tmp_path / "train/apple")


def test_imagenet_folders_that_lack_classes(tmp_path: Path) -> None:
    with pytest.raises(ExunoError, match="tiered-imagenet is not in"):
        open_data("tiered-imagenet", root=tmp_path)
    first = class_lists("tiered-imagenet")["train"][0]
    write(tmp_path / "imagenet/train" / first / "a.png", png(5))
    with pytest.raises(ExunoError, match=r"has no folder n01531178, .* and 345 more"):
        open_data("tiered-imagenet", root=tmp_path)
    write(tmp_path / "mini-imagenet/train" / first / "a.png", png(5))
    with pytest.raises(ExunoError, match="has 1 class folders, train of mini-imagenet has 64"):
        open_data("mini-imagenet", root=tmp_path)


def omniglot(root: Path, folder: str, alphabets: list[str]) -> None:
    for alphabet in alphabets:
        for i in (1, 2, 3):
            write(root / folder / alphabet / f"character{i:02}" / "0001_01.png", png(105, 255 * (i > 1)))


def test_omniglot(tmp_path: Path) -> None:
    omniglot(tmp_path, "omniglot/images_background", ["Greek", "Latin"])
    omniglot(tmp_path, "omniglot/images_evaluation", ["Angelic"])
    train, test = (open_data("omniglot", split, root=tmp_path) for split in ("train", "test"))
    assert (len(train), train.num_classes, train.channels, train.image_size) == (6, 6, 1, (105, 105))
    assert train.classes is not None
    assert train.classes[4] == "Latin/character02"
    images, labels = train.fetch(np.array([3, 4]))
    assert images[0].shape == (1, 105, 105)
    assert [int(image.max()) for image in images] == [0, 255]  # ink is dark
    assert labels.tolist() == [3, 4]
    assert train.mean == test.mean == (round(2 / 3, 6),)
    assert open_classes("omniglot", "test", Classes(), tmp_path, 0).classes == test.classes  # type: ignore[union-attr]
    assert open_classes("omniglot", "val", Classes(), tmp_path, 0) is None


def test_omniglot_without_its_evaluation_set_is_split_by_alphabet(tmp_path: Path) -> None:
    names = [f"alphabet{i}" for i in range(10)]
    omniglot(tmp_path, "omniglot", names)
    found: list[set[str]] = []
    parts: tuple[Part, ...] = ("train", "val", "test")
    for part in parts:
        data = open_classes("omniglot", part, Classes(), tmp_path, 0)
        assert data is not None
        assert data.classes is not None
        found.append({name.partition("/")[0] for name in data.classes})
        assert len(data) == 3 * len(found[-1])
    assert [len(part) for part in found] == [6, 2, 2]
    assert set.union(*found) == set(names)
    with pytest.raises(ExunoError, match="test split of omniglot is not in"):
        open_data("omniglot", "test", root=tmp_path)


def test_omniglot_of_the_shared_folder(shared: Path, tmp_path: Path) -> None:
    with tarfile.open(shared / "data/omniglot/background_small.tar.gz") as tar:
        tar.extractall(tmp_path / "omniglot/background_small", filter="data")
    data = open_data("omniglot", root=tmp_path)
    assert (len(data), data.num_classes) == (4840, 242)
    assert 0.85 < data.mean[0] < 0.95
    with tarfile.open(shared / "data/omniglot/one_shot_20way_runs.tar.gz") as tar:
        tar.extractall(tmp_path / "runs", filter="data")
    runs = open_runs(tmp_path / "runs")
    assert len(runs) == 20
    for run in runs:
        assert run.support.shape == run.query.shape == (20, 1, 105, 105)
        assert sorted(run.answers.tolist()) == list(range(20))
    assert runs[0].answers[:3].tolist() == [7, 8, 1]  # class08, class09, class02


def test_runs_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ExunoError, match="there are no runs"):
        open_runs(tmp_path)


def test_a_subset_of_files_and_arrays() -> None:
    digits = [open_data("digits", split) for split in ("train", "test")]
    subset = choose("some", digits, ["7", "2"])
    assert (subset.classes, subset.num_classes) == (("7", "2"), 2)
    positions = np.array([len(subset) - 1, 0, 1])  # one of the test split, two of the training split
    images, labels = subset.fetch(positions)
    for image, label, position in zip(images, labels, positions, strict=True):
        parent, inside = digits[subset.source[position]], subset.positions[position]
        expected, old = parent.fetch(np.array([inside]))
        assert np.array_equal(np.asarray(image), np.asarray(expected[0]))
        assert [7, 2][int(label)] == old.item()
    assert choose("some", digits, ["7", "2"]).fingerprint() == subset.fingerprint()
    assert len({choose("some", digits, names).fingerprint() for names in (["2", "7"], ["7", "3"])}) == 2
    with pytest.raises(ExunoError, match="has no images of 12"):
        choose("some", digits, ["7", "12"])
    assert len(SubsetData("none", digits, *(np.zeros(0, np.int64) for _ in range(3)), classes=("7",))) == 0
