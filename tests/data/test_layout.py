"""Folders as people leave them: names of splits, wrappers, clutter, links; what is left out is told once."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from exuno.data.open import open_data
from exuno.engine.errors import ExunoError

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
Opened = Callable[..., Any]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """``opened(files, split)``: the images of a folder that holds these files, pictures and others; a name that ends in
    a slash is an empty folder."""

    def make(files: Sequence[str], split: str = "train") -> Any:
        for file in files:
            path = tmp_path / file
            (path if file.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
            if path.suffix.lower() in (".png", ".jpg"):
                Image.fromarray(PIXELS).save(path)
            elif not file.endswith("/"):
                path.write_bytes(b"x")
        return open_data(f"folder:{tmp_path}", split)

    return make


def both(first: str, second: str, inside: str = "") -> list[str]:
    """Two images of each of two classes in a folder of training, and one of each in a folder of test images."""
    train = [f"{first}/{inside}{name}/{i}.png" for name in ("cat", "dog") for i in (1, 2)]
    return [*train, *(f"{second}/{inside}{name}/3.png" for name in ("cat", "dog"))]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Train", "Test"),
        ("TRAIN", "TEST"),
        ("training", "testing"),
        ("training_set", "test_set"),
        ("training_set/training_set", "test_set/test_set"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("train", "validation"),
        ("trn", "dev"),
        ("trainset", "valset"),
        ("train-images", "valid-images"),
        ("TrainData", "TestData"),
        ("train2017", "val2017"),
    ],
)
def test_splits_by_the_names_that_people_give(opened: Opened, train: str, test: str) -> None:
    files = both(train, test)
    first, second = opened(files), opened(files, "test")
    assert (first.classes, second.classes) == (("cat", "dog"), ("cat", "dog"))
    assert (first.labels.tolist(), second.labels.tolist()) == ([0, 0, 1, 1], [0, 1])


@pytest.mark.parametrize("inside", ["data/", "a/b/", "images.v2/"])
def test_a_folder_around_everything_is_entered_and_told(
    opened: Opened, inside: str, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["README.txt", "__MACOSX/data/._x.png", *(inside + file for file in both("Train", "val"))]
    assert (len(opened(files)), len(opened(files, "test"))) == (4, 2)
    told = capsys.readouterr().err
    assert told.count("everything is taken from") == 1
    assert "/" + inside.rstrip("/") + ", the only folder there that holds images" in told


def test_a_folder_around_the_classes_is_entered(opened: Opened) -> None:
    data = opened(["Images/n1-pug/1.png", "Images/n2-owl/1.png", "Annotation/n1-pug/1", "Annotation/n2-owl/1"])
    assert data.classes == ("n1-pug", "n2-owl")


def test_one_class_is_no_wrapper(opened: Opened) -> None:
    assert opened(["cat/1.png", "cat/2.png"]).classes == ("cat",)


def test_clutter_is_neither_class_nor_image(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    clutter = [".ipynb_checkpoints/1-checkpoint.png", "cat/.ipynb_checkpoints/1-checkpoint.png", "__MACOSX/cat/1.png"]
    clutter += ["@eaDir/1.png", "cat/@eaDir/1.png", "cat/._1.png", "cat/Thumbs.db", "dog/.DS_Store", "desktop.ini"]
    data = opened([*clutter, "cat/1.png", "dog/1.png"])
    assert data.classes == ("cat", "dog")
    assert data.files == ["cat/1.png", "dog/1.png"]
    assert capsys.readouterr().err == ""


def test_what_is_left_out_is_counted_and_named_once(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    files = [
        "cat/1.PNG",
        "cat/a.txt",
        "cat/deep/b.txt",
        "dog/1.png",
        "dog/paper.pdf",
        "loose.png",
        "bird/",
        "classes.md",
    ]
    for split in ("train", "test"):
        assert opened(files, split).classes == ("cat", "dog")
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "3 files left out: 2 .txt, 1 .pdf; images beside the class folders left out: 1" in told
    assert "folders without images left out: bird" in told


def test_two_folders_of_one_split_are_refused(opened: Opened) -> None:
    files = [*both("train", "test"), "Training/cat/9.png"]
    with pytest.raises(ExunoError, match="2 folders that mean its split 'train': Training, train"):
        opened(files)


def test_an_empty_one_does_not_count(opened: Opened) -> None:
    assert len(opened([*both("train", "test"), "Training/"])) == 4


def test_splits_win_over_what_lies_beside_them(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    files = [*both("train", "test"), "annotations/a.xml", "masks/1.png"]
    assert opened(files).classes == ("cat", "dog")
    assert "its splits are test, train; left out: masks" in capsys.readouterr().err


@pytest.mark.parametrize("names", [("train", "car", "bus"), ("train", "test", "car", "bus"), ("val", "hill", "lake")])
def test_classes_that_are_called_like_splits(
    opened: Opened, names: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    files = [f"{name}/{i}.png" for name in names for i in (1, 2)]
    assert opened(files).classes == opened(files, "test").classes == tuple(sorted(names))
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "taken for" in told


def test_a_lone_training_folder_is_one(opened: Opened) -> None:
    files = [*(file for file in both("train", "test") if file.startswith("train")), "annotations/a.xml"]
    assert opened(files).classes == ("cat", "dog")
    with pytest.raises(ExunoError, match=r"no split 'test'.*--holdout 0\.2"):
        opened(files, "test")


def test_a_crash_test_is_a_class(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    assert opened(["crash test/1.png", "normal/1.png"]).classes == ("crash test", "normal")
    assert capsys.readouterr().err == ""


def test_a_class_without_training_images_is_refused(opened: Opened) -> None:
    files = [*both("train", "test"), "train/owl/", "test/owl/1.png"]
    assert opened(files).classes == ("cat", "dog")
    with pytest.raises(ExunoError, match=r"has classes that .*train has not: owl"):
        opened(files, "test")


def test_a_class_without_test_images_is_told(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    test = opened([*both("train", "test"), "train/owl/1.png", "test/owl/"], "test")
    assert test.classes == ("cat", "dog", "owl")
    assert "classes of training without images here: owl" in capsys.readouterr().err


def test_a_test_folder_without_class_folders_is_no_test(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    train = [file for file in both("train", "x") if file.startswith("train")]
    with pytest.raises(ExunoError, match="no split 'test'"):
        opened([*train, "test/1.png", "test/2.png"], "test")
    assert "its images are not in class folders" in capsys.readouterr().err
    assert opened(["val/cat/1.png"], "test").labels.tolist() == [0]


def test_links_are_followed_and_loops_end(opened: Opened, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, real = tmp_path / "data", tmp_path / "real"
    opened(["real/cat/1.png", "real/cat/deep/2.png", "real/dog/1.png", "data/owl/1.png"])
    for name in ("cat", "dog"):
        (data / name).symlink_to(real / name)
    (data / "owl/up").symlink_to(data)
    (data / "owl/more").symlink_to(real / "dog")
    (data / "owl/gone.png").symlink_to("nowhere")
    (data / "owl/self.png").symlink_to("self.png")
    capsys.readouterr()
    found: Any = open_data(f"folder:{data}")
    assert found.classes == ("cat", "dog", "owl")
    assert found.files == ["cat/1.png", "cat/deep/2.png", "dog/1.png", "owl/1.png", "owl/more/1.png"]
    assert "2 broken links" in capsys.readouterr().err


def test_a_folder_that_cannot_be_read_is_named(opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    opened(["cat/1.png", "dog/1.png"])
    scandir = os.scandir

    def refuse(path: Any = ".") -> Any:
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # tests may run as root, whom no permission stops
    with pytest.raises(ExunoError, match=r"the folder .*dog cannot be read: Permission denied"):
        open_data(f"folder:{tmp_path}")


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "data.zip").write_bytes(b"PK")
    with pytest.raises(ExunoError, match=r"data\.zip is a file, not a folder"):
        open_data(f"folder:{tmp_path}/data.zip")


def test_a_folder_of_something_else_says_what_it_holds(opened: Opened) -> None:
    with pytest.raises(ExunoError, match=r"there are no images in .*, but 2 \.heic, 1 \.txt"):
        opened(["cat/1.heic", "dog/1.HEIC", "dog/a.txt"])


def test_two_sets_of_splits_are_refused(opened: Opened) -> None:
    with pytest.raises(ExunoError, match="two sets of splits"):
        opened([*both("train_a", "test_a"), *both("train_b", "test_b")])


def test_class_folders_that_are_spelt_otherwise_in_the_test_are_told_as_that(opened: Opened) -> None:
    files = ["train/Cat/1.png", "train/Big Dog/1.png", "valid/cat/2.png", "valid/big_dog/2.png"]
    with pytest.raises(ExunoError, match=r"spell their class folders differently: big_dog and Big Dog"):
        opened(files, "test")


def test_classes_of_several_folders_each_are_told(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    """Omniglot's layout: its classes are the characters, not the alphabets."""
    files = [f"{alphabet}/character0{k}/1.png" for alphabet in ("Greek", "Latin") for k in (1, 2)]
    assert opened(files).classes == ("Greek", "Latin")
    assert "such as Greek/character01, which is class Greek" in capsys.readouterr().err


def test_one_folder_within_each_class_is_not_worth_a_word(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    assert opened(["cat/images/1.png", "dog/images/1.png"]).classes == ("cat", "dog")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("names", [("images", "masks"), ("images", "labels", "Annotations")])
def test_folders_that_are_no_classes_are_refused(opened: Opened, names: Sequence[str]) -> None:
    with pytest.raises(ExunoError, match="which are no classes"):
        opened([f"{name}/{i}.png" for name in names for i in (1, 2)])


@pytest.mark.parametrize("split", ["train", "test"])
def test_splits_inside_class_folders_are_refused(opened: Opened, split: str) -> None:
    files = [f"{name}/{part}/{i}.png" for name in ("cat", "dog") for part in ("train", "test") for i in (1, 2)]
    with pytest.raises(ExunoError, match=r"hold splits, such as cat/test. Put the classes into the splits"):
        opened(files, split)


def test_other_folders_below_classes_are_taken(opened: Opened) -> None:
    data = opened([f"{name}/{part}/1.png" for name in ("cat", "masks") for part in ("train", "left")])
    assert (data.classes, len(data)) == (("cat", "masks"), 4)
