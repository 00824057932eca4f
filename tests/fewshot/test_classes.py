"""The choice of training, validation and new classes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exuno.data.base import Data
from exuno.engine.errors import ExunoError
from exuno.fewshot.classes import Part, drawn, open_classes
from exuno.fewshot.options import Classes

PARTS: tuple[Part, ...] = ("train", "val", "test")


def opened(spec: str, part: Part, root: Path | None = None, seed: int = 0, **choice: object) -> Data:
    found = open_classes(spec, part, Classes(**choice), root, seed)  # type: ignore[arg-type]
    assert found is not None
    return found


def names(spec: str, part: Part, root: Path | None = None, seed: int = 0, **choice: object) -> tuple[str, ...]:
    found = open_classes(spec, part, Classes(**choice), root, seed)  # type: ignore[arg-type]
    return (found.classes or ()) if found else ()


def pictures(folder: Path, layout: dict[str, int]) -> Path:
    """PATH -> number of pictures in it; each picture has a gray value of its own."""
    value = 0
    for place, count in layout.items():
        (folder / place).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.fromarray(np.full((6, 6, 3), value, np.uint8)).save(folder / place / f"{i}.png")
            value += 1
    return folder


def values(data: Data) -> list[int]:
    images, _ = data.fetch(np.arange(len(data)))
    return [int(image[0, 0, 0]) for image in images]


def npz(path: Path, labels: dict[str, list[int]], **more: object) -> Path:
    arrays = {f"{s}_labels": np.array(each) for s, each in labels.items()}
    images, start = {}, 0
    for split, each in labels.items():
        levels = np.arange(start, start + len(each), dtype=np.uint8)
        images[f"{split}_images"] = np.broadcast_to(levels[:, None, None], (len(each), 4, 4))
        start += len(each)
    np.savez(path, **arrays, **images, **more)  # type: ignore[arg-type]
    return path


def test_digits_are_all_there_and_apart() -> None:
    train, test = opened("digits", "train"), opened("digits", "test")
    assert open_classes("digits", "val", Classes(), None, 0) is None
    assert len(train) + len(test) == 1797
    assert (train.classes, test.classes) == (tuple("01234"), tuple("56789"))
    labels = test.fetch(np.arange(len(test)))[1]
    assert sorted(set(labels.tolist())) == [0, 1, 2, 3, 4]
    assert train.fingerprint() != test.fingerprint()
    assert train.mean == test.mean


@pytest.mark.parametrize(("count", "shares"), [(3, (1, 0, 2)), (5, (3, 0, 2)), (10, (6, 2, 2)), (100, (64, 16, 20))])
def test_drawn_shares(count: int, shares: tuple[int, int, int]) -> None:
    every = tuple(f"c{i:03}" for i in range(count))
    split = drawn(every, 3)
    assert tuple(len(split[part]) for part in PARTS) == shares
    assert sorted(split["train"] + split["val"] + split["test"]) == sorted(every)
    assert drawn(every, 3) == split
    if count > 3:
        assert drawn(every, 4) != split


def test_a_draw_takes_the_images_of_all_splits(tmp_path: Path) -> None:
    origin = [*range(10), *range(9, -1, -1), 0]
    spec = f"npz:{npz(tmp_path / 'a.npz', {'train': origin[:10], 'test': origin[10:]})}"
    found = {part: opened(spec, part) for part in PARTS}
    assert sorted(v for data in found.values() for v in values(data)) == list(range(21))
    for data in found.values():
        assert data.classes is not None
        labels = data.fetch(np.arange(len(data)))[1].tolist()
        assert [int(data.classes[label]) for label in labels] == [origin[v] for v in values(data)]


def test_a_folder_with_split_folders_of_new_classes_keeps_them(tmp_path: Path) -> None:
    layout = {"train/a": 1, "train/b": 1, "val/c": 1, "val/d": 1, "test/e": 2, "test/f": 1}
    spec = f"folder:{pictures(tmp_path, layout)}"
    assert [names(spec, part) for part in PARTS] == [("a", "b"), ("c", "d"), ("e", "f")]
    assert opened(spec, "test").fetch(np.arange(3))[1].tolist() == [0, 0, 1]


def test_a_folder_with_the_same_classes_in_its_splits_is_drawn(tmp_path: Path) -> None:
    layout = {f"{split}/{name}": 2 for split in ("train", "test") for name in "abcdefghij"}
    spec = f"folder:{pictures(tmp_path, layout)}"
    parts = [names(spec, part) for part in PARTS]
    assert [len(part) for part in parts] == [6, 2, 2]
    assert sum(len(opened(spec, part)) for part in PARTS) == 40


def test_splits_of_equal_names_and_sizes_are_two(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in "abcdefghij":
            (tmp_path / split / name).mkdir(parents=True)
            Image.fromarray(np.full((6, 6, 3), 7, np.uint8)).save(tmp_path / split / name / "0.bmp")
    assert sum(len(opened(f"folder:{tmp_path}", part)) for part in PARTS) == 20


def test_a_folder_without_splits_counts_its_images_once(tmp_path: Path) -> None:
    spec = f"folder:{pictures(tmp_path, dict.fromkeys('abcde', 2))}"
    assert len(opened(spec, "train")) == 6
    assert len(opened(spec, "test")) == 4


def test_without_a_test_folder_val_is_the_test(tmp_path: Path) -> None:
    spec = f"folder:{pictures(tmp_path, {'train/a': 1, 'train/b': 1, 'val/c': 1, 'val/d': 1})}"
    assert names(spec, "test") == ("c", "d")
    assert names(spec, "val") == ()


def test_half_shared_classes_are_refused(tmp_path: Path) -> None:
    layout = {"train/a": 1, "train/b": 1, "test/b": 1, "test/c": 1}
    with pytest.raises(ExunoError, match="has the classes b for train and for test"):
        opened(f"folder:{pictures(tmp_path, layout)}", "test")


def test_a_class_file_chooses(tmp_path: Path) -> None:
    split = tmp_path / "split.csv"
    split.write_text("class,split\n7,test\n1,train\n3, train\n9,test\n")
    assert names("digits", "train", split=str(split)) == ("1", "3")
    assert names("digits", "test", split=str(split)) == ("7", "9")
    assert open_classes("digits", "val", Classes(split=str(split)), None, 0) is None


def test_a_file_list_chooses_single_files(tmp_path: Path) -> None:
    pictures(tmp_path / "all", {"x": 6})
    split = tmp_path / "split.csv"
    split.write_text("file,class,split\nx/4.png,cat,train\nx/0.png,ant,train\nx/1.png,bee,test\nx/2.png,dog,test\n")
    train = opened(f"folder:{tmp_path / 'all'}", "train", split=str(split))
    assert train.classes == ("ant", "cat")
    assert values(train) == [4, 0]
    assert train.fetch(np.arange(2))[1].tolist() == [1, 0]
    with pytest.raises(ExunoError, match="names single files, but digits is no folder"):
        opened("digits", "train", split=str(split))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("class,split\n11,test\n", "names classes that digits has not: 11"),
        ("name,split\n1,test\n", "has no column class"),
        ("class,split\n1,train\n1,test\n", "line 3 .* puts the class 1 into test"),
        ("class,split\n1,new\n", "line 2 .* the split 'new'"),
        ("class,split\n", "names no class"),
        ("class,split\n1,train\n2,train\n", "has no classes for test"),
        ("class,split\n1,test\n2,train\n", "has 1 class"),
        ("file,class,split\na.png,1,test\n", "no folder"),
    ],
)
def test_mistakes_in_a_class_file(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_text(text)
    with pytest.raises(ExunoError, match=told):
        opened("digits", "test", split=str(tmp_path / "split.csv"))


def test_mistakes_in_the_data(tmp_path: Path) -> None:
    with pytest.raises(ExunoError, match="there is no file"):
        opened("digits", "train", split="none.csv")
    np.savez(tmp_path / "bare.npz", train_images=np.zeros((3, 4, 4), np.uint8))
    with pytest.raises(ExunoError, match="has no class for each image"):
        opened(f"npz:{tmp_path / 'bare.npz'}", "train")
    with pytest.raises(ExunoError, match="1 classes cannot be split"):
        opened(f"npz:{npz(tmp_path / 'one.npz', {'train': [0, 0]})}", "train")
    spec = f"folder:{pictures(tmp_path / 'f', {'a': 1, 'b': 1})}"
    (tmp_path / "lost.csv").write_text("file,class,split\na/7.png,a,train\n")
    with pytest.raises(ExunoError, match=r"names 'a/7.png', which is not in"):
        opened(spec, "train", split=str(tmp_path / "lost.csv"))


def test_turns_are_further_training_classes() -> None:
    plain, turned = opened("digits", "train"), opened("digits", "train", turns=True)
    assert len(turned) == 4 * len(plain)
    assert turned.num_classes == 20
    assert turned.classes is not None
    assert turned.classes[7] == "2 turned 90"
    position = 3 * len(plain) + 11
    images, labels = turned.fetch(np.array([position, 11]))
    assert np.array_equal(np.asarray(images[0]), np.rot90(np.asarray(images[1]), 3, (-2, -1)))
    assert labels[0] == labels[1] + 15
    assert turned.fingerprint() != plain.fingerprint()
    assert names("digits", "test", turns=True) == tuple("56789")


def test_mirror_images_are_further_training_classes() -> None:
    plain, mirrored, both = (
        opened("digits", "train", turns=turns, mirrored=mirror)
        for turns, mirror in ((False, False), (False, True), (True, True))
    )
    assert [data.num_classes for data in (mirrored, both)] == [10, 40]
    assert len(both) == 8 * len(plain)
    assert both.classes is not None
    some = [both.classes[place] for place in (7, 22, 27)]
    assert some == ["2 turned 90", "2 mirrored", "2 mirrored turned 90"]
    [image], [label] = plain.fetch(np.array([11]))
    [flipped], [new] = mirrored.fetch(np.array([len(plain) + 11]))
    assert np.array_equal(np.asarray(flipped), np.asarray(image)[..., ::-1])
    assert new == label + 5
    [turned], [last] = both.fetch(np.array([7 * len(plain) + 11]))
    assert np.array_equal(np.asarray(turned), np.rot90(np.asarray(image)[..., ::-1], 3, (-2, -1)))
    assert last == label + 35
    assert len({data.fingerprint() for data in (plain, mirrored, both)}) == 3
    assert names("digits", "test", mirrored=True) == tuple("56789")


def test_quarter_turns_are_held_back_for_the_choice_of_a_recipe() -> None:
    plain, digits = opened("digits", "train"), tuple("01234")
    train = opened("digits", "train", turns=True, mirrored=True, hold_turns=True)
    ways = ("", " turned 180", " mirrored", " mirrored turned 180")
    assert train.classes == tuple(digit + way for way in ways for digit in digits)
    held = opened("digits", "val", turns=True, mirrored=True, hold_turns=True)
    assert held.classes == tuple(f"{digit} turned 90" for digit in digits)
    assert len(held) == len(plain)
    assert len({data.fingerprint() for data in (plain, train, held, opened("digits", "train", turns=True))}) == 4
    [image], [label] = plain.fetch(np.array([11]))
    [turned], [same] = held.fetch(np.array([11]))
    assert label == same
    assert np.array_equal(np.asarray(turned), np.rot90(np.asarray(image), 1, (-2, -1)))
    assert opened("digits", "test", turns=True, hold_turns=True).classes == tuple("56789")


def test_held_turns_that_make_no_sense_are_told(tmp_path: Path) -> None:
    with pytest.raises(ExunoError, match="--turns is off"):
        opened("digits", "val", hold_turns=True)
    spec = (
        f"folder:{pictures(tmp_path, {'train/a': 1, 'train/b': 1, 'val/c': 1, 'val/d': 1, 'test/e': 2, 'test/f': 1})}"
    )
    with pytest.raises(ExunoError, match="has validation classes of its own"):
        opened(spec, "val", turns=True, hold_turns=True)


def test_phase_one_does_not_see_what_phase_two_holds_back() -> None:
    from exuno.fewshot.network import phase_one
    from exuno.fewshot.options import DistillConfig

    config = DistillConfig("digits", model="pretrain:digits", classes=Classes(turns=True, hold_turns=True))
    assert phase_one(config)[0].classes.hold_turns
