"""The order of class folders and lists: numbers as numbers, or what classes.txt says."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from make_video import make_video
from PIL import Image

from exuno.data.images.folder import open_folder
from exuno.data.open import open_data
from exuno.engine.errors import ExunoError

TWELVE = tuple(str(number) for number in range(12))


def folders(root: Path, names: Sequence[str]) -> Path:
    """One image of each class, whose gray level is the place of its name."""
    for level, name in enumerate(names):
        (root / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4, 3), level, np.uint8)).save(root / name / f"{name}.png")
    return root


def levels(root: Path, split: str = "test") -> dict[str, int]:
    """Name of each class -> the gray level of its first image."""
    data = open_folder(root, split)
    assert data.classes is not None
    images, labels = data.fetch(np.arange(len(data)))
    found = {data.classes[label]: int(image[0, 0, 0]) for image, label in zip(images, labels.tolist(), strict=True)}
    return {name: found[name] for name in data.classes if name in found}


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["b", "a"], ["a", "b"]),
        (["10", "9", "1"], ["1", "9", "10"]),
        (["010", "9"], ["9", "010"]),
        (["10", "9", "x"], ["10", "9", "x"]),
        (["01", "1", "0"], ["0", "01", "1"]),
        (["²", "1"], ["1", "²"]),
        (["class_10", "class_2"], ["class_10", "class_2"]),
    ],
)
def test_names_in_order(names: list[str], wanted: list[str]) -> None:
    from exuno.data.classes import in_order

    assert in_order(names) == tuple(wanted)


def test_numbered_folders_are_in_the_order_of_the_numbers_and_it_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folders(tmp_path, TWELVE)
    for split in ("train", "test"):
        assert levels(root, split) == {name: int(name) for name in TWELVE}
    said = capsys.readouterr().err
    assert said.count("order of the numbers (0, 1, 2 and 9 more)") == 1
    assert "text (0, 1, 10, …)" in said
    assert "classes.txt" in said


def test_nothing_is_told_where_text_has_the_same_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    levels(folders(tmp_path / "digits", TWELVE[:10]))
    levels(folders(tmp_path / "padded", [f"{number:02}" for number in range(12)]))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("place", [".", "train"])
def test_classes_txt_gives_the_order(tmp_path: Path, place: str) -> None:
    for part in ("train", "test"):
        folders(tmp_path / part, ["cat", "dog", "ship"])
    (tmp_path / place / "classes.txt").write_bytes(b"\xef\xbb\xbfship\r\ncat\r\ndog\r\n\r\n")
    for split in ("train", "test"):
        assert [*levels(tmp_path, split).items()] == [("ship", 2), ("cat", 0), ("dog", 1)]
    if place == ".":
        assert open_data(f"folder:{tmp_path / 'test'}").classes == ("ship", "cat", "dog")


def test_classes_txt_asks_for_the_order_of_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders(tmp_path, TWELVE)
    (tmp_path / "classes.txt").write_text("\n".join(sorted(TWELVE)))
    assert open_data(f"folder:{tmp_path}").classes == tuple(sorted(TWELVE))
    assert capsys.readouterr().err == ""


def test_classes_txt_names_numbered_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders(tmp_path, ["0", "2", "10"])
    names = [f"kind {letter}" for letter in "abcdefghijkl"]
    (tmp_path / "classes.txt").write_text("\n".join(names))
    assert levels(tmp_path) == {"kind a": 0, "kind c": 1, "kind k": 2}
    data = open_folder(tmp_path, "test")
    assert (data.num_classes, data.labels.tolist()) == (12, [0, 2, 10])
    assert (
        "lists classes that have no folder: kind b, kind d, kind e, kind f, kind g and 4 more"
        in capsys.readouterr().err
    )
    assert open_folder(tmp_path, "test", own_classes=True).classes == ("kind a", "kind c", "kind k")


def test_the_list_may_name_more_than_the_new_classes_of_a_split(tmp_path: Path) -> None:
    folders(tmp_path / "train", ["a", "b"])
    folders(tmp_path / "test", ["c", "d"])
    (tmp_path / "classes.txt").write_text("d\nc\nb\na\n")
    assert open_folder(tmp_path, "test", own_classes=True).classes == ("d", "c")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cat\ndog\n", "does not list the class folders ship"),
        ("cat\n\ndog\nship\n", "has an empty line 2"),
        ("", "has an empty line 1"),
        ("cat\ndog\nship\ncat\n", "names 'cat' twice"),
        (b"cat\xff\xfe", "is not UTF-8"),
    ],
)
def test_a_broken_list_is_a_sentence(tmp_path: Path, text: str | bytes, said: str) -> None:
    folders(tmp_path, ["cat", "dog", "ship"])
    (tmp_path / "classes.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ExunoError, match=said):
        open_data(f"folder:{tmp_path}")


def test_a_list_that_is_too_short_for_the_numbers(tmp_path: Path) -> None:
    folders(tmp_path, ["0", "3"])
    (tmp_path / "classes.txt").write_text("cat\ndog\nship\n")
    with pytest.raises(ExunoError, match="names 3 classes, and there is a class folder 3"):
        open_data(f"folder:{tmp_path}")


def test_a_list_of_videos_with_numbers_for_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("train", "test"):
        rows = [f"{make_video(tmp_path / f'{k}.mp4', 4, size=(16, 16)).name},{k}" for k in range(11)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["file,label", *rows]))
    for split in ("train", "test"):
        data = open_data(f"videos:{tmp_path}@2/0.2s", split)
        assert data.classes == TWELVE[:11]
        assert data.labels.unique().tolist() == [*range(11)]  # pyright: ignore[reportAttributeAccessIssue]
    assert capsys.readouterr().err.count("order of the numbers") == 1
