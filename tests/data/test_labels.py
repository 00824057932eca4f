"""Labels and arrays as people store them in npz files: recognised, or refused by name with the first bad row."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from exuno.data.labels import count_classes, numbered, plain
from exuno.data.open import open_data
from exuno.engine.errors import ExunoError

X = np.random.default_rng(0).integers(0, 256, (40, 6, 6, 3), np.uint8)
Y = np.arange(40) % 4
NAMES = np.array(["cat", "dog", "owl", "ant"])


def opened(folder: Path, split: str = "train", **arrays: Any) -> Any:
    """A split of an npz file of these arrays; ``y`` and ``x`` stand for those of the training part."""
    renamed = {{"x": "train_images", "y": "train_labels"}.get(name, name): array for name, array in arrays.items()}
    np.savez(folder / "a.npz", **({} if "images" in renamed or "arr" in renamed else {"train_images": X}) | renamed)  # pyright: ignore
    return open_data(f"npz:{folder}/a.npz", split)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (np.where(Y == 2, -1, Y), "row 2 of train_labels of .* is -1, as 9 others are"),
        (np.where(np.arange(40) == 7, -5, Y), r"row 7 of train_labels of .* is -5\. Labels count from 0"),
        (Y * 100_000, r"4 different labels that go up to 300,000 \(row 3\)"),
        (np.where(Y == 1, 2**64 - 1, Y).astype(np.uint64), "row 1 of .* is 18446744073709551615"),
        (np.where(Y == 3, 65535, Y), "go up to 65,535"),
        (np.where(Y == 3, 1.5, Y), "row 3 of .* is 1.5, which is no class"),
        (np.where(Y == 3, np.nan, Y), "row 3 of .* is nan, which is no class"),
        (np.full((40, 4), 0.25), "soft labels"),
        (np.eye(4)[Y] + np.eye(4)[0] * (Y == 2)[:, None], "row 2 has 2 ones: several labels for one image"),
        (np.zeros((40, 14), np.int64), r"int64 \[40, 14\], and row 0 has 0 ones"),
        (np.arange(80).reshape(40, 2), "several for one image are not supported"),
        (Y.astype(object), "holds Python objects, which exuno does not read"),
        (Y.astype("M8[s]"), "datetime64"),
        (Y[:39], "40 train_images and 39 train_labels"),
    ],
)
def test_labels_that_are_none_are_refused_by_name(labels: np.ndarray, told: str, tmp_path: Path) -> None:
    with pytest.raises(ExunoError, match=told):
        opened(tmp_path, y=labels)


@pytest.mark.parametrize(
    ("labels", "expected", "classes", "names"),
    [
        (Y > 1, (Y > 1).astype(int), 2, None),
        (Y.astype(np.float32), Y, 4, None),
        (Y.astype(str), Y, 4, None),
        (NAMES[Y], np.array([1, 2, 3, 0])[Y], 4, ("ant", "cat", "dog", "owl")),
        (NAMES[Y].astype("S"), np.array([1, 2, 3, 0])[Y], 4, ("ant", "cat", "dog", "owl")),
        (np.eye(6)[Y], Y, 6, None),
        (np.eye(4, dtype=bool)[Y], Y, 4, None),
        (Y[:, None].astype(np.uint8), Y, 4, None),
    ],
)
def test_labels_of_other_types_are_taken(
    labels: np.ndarray, expected: np.ndarray, classes: int, names: tuple[str, ...] | None, tmp_path: Path
) -> None:
    data = opened(tmp_path, y=labels)
    assert (data.num_classes, data.classes) == (classes, names)
    assert data.labels.tolist() == expected.tolist()


def test_text_is_looked_up_among_the_names(tmp_path: Path) -> None:
    data = opened(tmp_path, y=NAMES[Y], class_names=NAMES)
    assert (data.classes, data.labels.tolist()) == (tuple(NAMES), Y.tolist())
    with pytest.raises(ExunoError, match=r"row 3 of train_labels of .* is 'ant', which is no class.*cat, dog, owl"):
        opened(tmp_path, y=NAMES[Y], class_names=NAMES[:3])


def test_names_are_those_of_all_parts(tmp_path: Path) -> None:
    parts: dict[str, Any] = {"y": NAMES[Y], "test_images": X[:2], "test_labels": NAMES[[3, 0]]}
    train, test = (opened(tmp_path, split, **parts) for split in ("train", "test"))
    assert train.classes == test.classes == ("ant", "cat", "dog", "owl")
    assert test.labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (Y + 1, r"1 of 5 classes has no image \(0\); if they count from 1, subtract 1"),
        (np.where(Y == 3, 255, Y), r"252 of 256 classes have no image .*; if 255 stands for no class"),
        (Y * 2, r"3 of 7 classes have no image \(1, 3, 5\)"),
        (Y * 333, "996 of 1,000 classes have no image"),
    ],
)
def test_classes_without_images_are_told_once(
    labels: np.ndarray, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    parts: dict[str, Any] = {"y": labels, "test_images": X[:4], "test_labels": labels[:4]}
    for split in ("train", "test", "train"):
        assert opened(tmp_path, split, **parts).num_classes == labels.max() + 1
    said = capsys.readouterr().err
    assert re.search(told, said)
    assert said.count("\n") == 1


def test_far_labels_are_taken_where_all_classes_are_named(tmp_path: Path) -> None:
    names = np.array([f"n{i}" for i in range(2000)])
    assert opened(tmp_path, y=Y * 500, class_names=names).num_classes == 2000


def test_a_part_of_which_nothing_is_labelled_is_unlabelled(tmp_path: Path) -> None:
    parts: dict[str, Any] = {"y": Y, "test_images": X[:2], "test_labels": np.array([-1, -1])}
    assert opened(tmp_path, "test", **parts).num_classes == 0
    assert opened(tmp_path, "train", **parts).num_classes == 4


@given(st.lists(st.integers(-3, 40), min_size=1, max_size=30))
def test_every_list_of_numbers_is_counted_or_refused_by_a_row_that_is_bad(values: list[int]) -> None:
    labels = numbered(plain(values, "it"), None, "it")
    if min(values) >= 0:
        assert count_classes(labels, None, "it") == max(values) + 1
    elif set(values) == {-1}:
        assert count_classes(labels, None, "it") == 0
    else:
        first = next(row for row, value in enumerate(values) if value < 0)
        with pytest.raises(ExunoError, match=f"row {first} of it is {values[first]}"):
            count_classes(labels, None, "it")


# Names and forms of arrays


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("X_train", "y_train", "X_val", "y_val"),
        ("trainX", "trainY", "testX", "testY"),
        ("train_data", "train_targets", "valid_data", "valid_targets"),
        ("training_images", "training_labels", "validation_images", "validation_labels"),
    ],
)
def test_arrays_by_other_names(names: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "a.npz", **dict(zip(names, (X, Y[:, None], X[:8], Y[:8, None]), strict=True)))  # pyright: ignore
    train, test = (open_data(f"npz:{tmp_path}/a.npz", split) for split in ("train", "test"))
    assert (len(train), len(test), train.num_classes) == (40, 8, 4)
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert f"{names[0]} as train_images" in told


@pytest.mark.parametrize("names", [("images", "labels"), ("x", "y"), ("data", "target")])
def test_a_file_without_splits_is_one_set(names: tuple[str, str], tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **dict(zip(names, (X, Y), strict=True)))  # pyright: ignore
    train, test = (open_data(f"npz:{tmp_path}/a.npz", split) for split in ("train", "test"))
    assert (len(train), train.fingerprint()) == (40, test.fingerprint())


def test_arrays_that_say_the_same_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x_train=X, train_data=X, y_train=Y)
    with pytest.raises(ExunoError, match="several arrays of train_images: x_train, train_data"):
        open_data(f"npz:{tmp_path}/a.npz")


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (X.transpose(0, 3, 1, 2), X),
        (X[:, None, ..., 0], X[..., :1]),
        (X / 255, X),
        (X.astype(np.float32), X),
        (X.astype(np.int64), X),
        ((X / 255).transpose(0, 3, 1, 2).astype(np.float32), X),
        (X[..., 0] > 99, ((X[..., :1] > 99) * 255).astype(np.uint8)),
    ],
)
def test_images_in_other_forms(
    images: np.ndarray, expected: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = opened(tmp_path, x=images, y=Y)
    assert torch.equal(data.images, torch.from_numpy(expected.transpose(0, 3, 1, 2)))
    assert "train_images of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (X / 128 - 1, "from -1 to 0.99.*Undo its normalisation"),
        (X.astype(np.uint16) * 257, "uint16 from 0 to 65535.*Scale it"),
        (X.reshape(40, -1), r"rows of pixels without height and width.*reshape\(-1, 6, 6, 3\)"),
        (X[..., 0].reshape(40, -1), r"reshape\(-1, 6, 6\)"),
        (np.concatenate([X, X[..., :1]], 3), r"of neither 1 nor 3 channels.*\[\.\.\., :3\]"),
        (np.where(X[0, 0, 0, 0] == X, np.nan, X), "not a number"),
        (np.array([X[0], X[1, :3]], dtype=object), "Python objects"),
    ],
)
def test_images_that_are_none(images: np.ndarray, told: str, tmp_path: Path) -> None:
    with pytest.raises(ExunoError, match=told):
        opened(tmp_path, x=images, y=Y[: len(images)])


def test_a_dark_test_part_is_scaled_as_training_is(tmp_path: Path) -> None:
    dark = np.ones((2, 6, 6, 3), np.float32)
    parts: dict[str, Any] = {"x": X.astype(np.float32), "y": Y, "test_images": dark, "test_labels": Y[:2]}
    assert opened(tmp_path, "test", **parts).images.max() == 1
    assert opened(tmp_path, "test", **{**parts, "x": X}).images.max() == 255


def test_names_in_one_part_and_numbers_in_another_are_not_matched_by_guessing(tmp_path: Path) -> None:
    images = np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8)
    content: dict[str, Any] = {"train_images": images, "test_images": images}
    np.savez(tmp_path / "both.npz", train_labels=["b", "a"] * 2, test_labels=[0, 1] * 2, **content)
    with pytest.raises(ExunoError, match=r"test_labels .* are numbers, and other labels of the file are names"):
        open_data(f"npz:{tmp_path / 'both.npz'}", "test")
    names = np.array(["b", "a"])
    np.savez(tmp_path / "named.npz", train_labels=["b", "a"] * 2, test_labels=[0, 1] * 2, class_names=names, **content)
    assert open_data(f"npz:{tmp_path / 'named.npz'}", "test").classes == ("b", "a")


def test_pixels_of_another_scale_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """scikit-learn's digits go to 16, a mask to 1."""
    for high in (1, 16):
        images = (np.arange(4 * 64) % (high + 1)).astype(np.uint8).reshape(4, 8, 8)
        np.savez(tmp_path / "dark.npz", images=images, labels=[0, 1, 0, 1])
        open_data(f"npz:{tmp_path / 'dark.npz'}")
        assert f"values up to {high}, nearly black: if {high} is white, scale them" in capsys.readouterr().err
