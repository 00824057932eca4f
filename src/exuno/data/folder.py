"""``folder:PATH``: one folder for each class (torchvision's ImageFolder), or flat unlabelled images."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exuno.data.class_order import in_order, label_folders
from exuno.data.constants import IMAGENET, Stats
from exuno.data.deep import split_bits, tell_depth
from exuno.data.files import SUFFIXES, FileData
from exuno.engine.errors import ExunoError

SPLITS = {"train": ("train",), "test": ("test", "val", "valid"), "val": ("val", "valid")}
SPLIT_FOLDERS = frozenset(("train", "test", "val", "valid"))


@dataclass(frozen=True)
class Found:
    """The files of one split of a folder: paths relative to ``folder``, and their labels, int64 [N], -1 where there is
    none."""

    folder: Path
    files: list[str]
    labels: NDArray[np.int64]
    classes: tuple[str, ...] | None


def open_folder(
    path: Path, split: str, name: str | None = None, stats: Stats = IMAGENET, *, own_classes: bool = False
) -> FileData:
    """Images in folders, as :func:`find_files` finds them; with bits behind the path, as :func:`split_bits` reads
    them."""
    bare, bits = split_bits(str(path))
    found = find_files(Path(bare), split, SUFFIXES, "images", own_classes=own_classes)
    name = name or f"folder:{path}"
    if found.folder != Path(bare):
        name = f"{name}/{found.folder.name}"
    data = FileData(name, found.folder, found.files, found.labels, found.classes, stats, bits)
    tell_depth(f"folder:{bare}", bits, data.files, data.read)
    return data


def find_files(path: Path, split: str, suffixes: Collection[str], what: str, *, own_classes: bool = False) -> Found:
    """The files of a split that end in one of ``suffixes``; ``what`` they are, for messages.

    ``PATH/train/CLASS/…`` and ``PATH/test/CLASS/…`` (or ``val``) are splits; a folder ``PATH/CLASS/…`` or
    ``PATH/*.jpg`` without them is one set, returned for every split. Classes are the names of the folders, those
    of ``train`` where there is one, unless each split has ``own_classes``, in the order that
    :func:`~exuno.data.class_order.label_folders` tells; files directly in the folder have no label.

    Raises:
        ExunoError: for a missing or empty folder, a missing split, or a class of the test split that training has not.
    """
    if not path.is_dir():
        raise ExunoError(f"there is no folder {path}", "Check the path.")
    subfolders = {entry.name for entry in path.iterdir() if entry.is_dir()}
    chosen = path
    names = None
    if _has_splits(subfolders):
        found = _folder_of(split, subfolders)
        if found is None:
            raise ExunoError(f"{path} has no split '{split}'", f"Its folders are {', '.join(sorted(subfolders))}.")
        chosen = path / found
        names = class_folders(path / "train") if "train" in subfolders and not own_classes else None
    folders = names or class_folders(chosen)
    folders, classes = label_folders(folders, places_of_list(path, chosen), own_classes)
    files, labels = list_classes(chosen, folders, suffixes) if classes else (_files(chosen, suffixes), [])
    if classes and (stray := set(class_folders(chosen)) - set(folders)):
        raise ExunoError(
            f"{chosen} has classes that {path / 'train'} has not: {', '.join(sorted(stray)[:5])}",
            "Use the same class folders in both splits (new classes for testing are for exuno fewshot).",
        )
    if not files:
        raise ExunoError(f"there are no {what} in {chosen}", f"Known suffixes: {' '.join(sorted(suffixes))}.")
    numbers = np.array(labels, np.int64) if classes else np.full(len(files), -1, np.int64)
    return Found(chosen, files, numbers, classes or None)


def split_folders(path: Path) -> dict[str, str]:
    """Name of the folder of each split that ``path`` has, a val folder that stands in for test being test alone; {} for
    a folder without splits."""
    subfolders = {entry.name for entry in path.iterdir() if entry.is_dir()} if path.is_dir() else set()
    if not _has_splits(subfolders):
        return {}
    found = {split: _folder_of(split, subfolders) for split in ("train", "test", "val")}
    if found["val"] == found["test"]:
        found["val"] = None
    return {split: folder for split, folder in found.items() if folder}


def _folder_of(split: str, subfolders: set[str]) -> str | None:
    return next((name for name in SPLITS.get(split, (split,)) if name in subfolders), None)


def _has_splits(subfolders: set[str]) -> bool:
    # A lone folder called train among others may be a class (of vehicles, say).
    splits = subfolders & SPLIT_FOLDERS
    return len(splits) > 1 or (bool(splits) and splits == subfolders)


def class_folders(folder: Path) -> tuple[str, ...]:
    """Names of the subfolders, sorted; as numbers, if all are."""
    return in_order([e.name for e in os.scandir(folder) if e.is_dir() and not e.name.startswith(".")])


def places_of_list(path: Path, chosen: Path) -> list[Path]:
    """Where a list of the classes may lie: in a folder, in its ``train``, in the split at hand; for a folder that is
    itself a split, in the one around it."""
    return [path, path / "train", chosen, *([path.parent] if path.name in SPLIT_FOLDERS else [])]


def list_classes(
    folder: Path, classes: tuple[str, ...], suffixes: Collection[str] = SUFFIXES
) -> tuple[list[str], list[int]]:
    """Files of the class folders, relative to ``folder``, and their labels; sorted by class, then by path."""
    files, labels = [], []
    for label, name in enumerate(classes):
        inside = [f"{name}/{file}" for file in _files(folder / name, suffixes, deep=True)]
        files += inside
        labels += [label] * len(inside)
    return files, labels


def _files(folder: Path, suffixes: Collection[str], deep: bool = False) -> list[str]:
    found = []
    for base, subfolders, names in os.walk(folder):
        if not deep:
            subfolders.clear()
        prefix = Path(base).relative_to(folder).as_posix()
        inside = (n for n in names if os.path.splitext(n)[1].lower() in suffixes and not n.startswith("."))  # noqa: PTH122
        found += [name if prefix == "." else f"{prefix}/{name}" for name in inside]
    return sorted(found)
