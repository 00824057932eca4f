"""``folder:PATH``: one folder for each class (torchvision's ImageFolder), or flat unlabelled images."""

import os
from pathlib import Path

import numpy as np

from exuno.data.constants import IMAGENET, Stats
from exuno.data.files import SUFFIXES, FileData
from exuno.engine.errors import ExunoError

SPLITS = {"train": ("train",), "test": ("test", "val", "valid"), "val": ("val", "valid")}
SPLIT_FOLDERS = frozenset(("train", "test", "val", "valid"))


def open_folder(
    path: Path, split: str, name: str | None = None, stats: Stats = IMAGENET, *, own_classes: bool = False
) -> FileData:
    """Images in folders.

    ``PATH/train/CLASS/…`` and ``PATH/test/CLASS/…`` (or ``val``) are splits; a folder ``PATH/CLASS/…`` or
    ``PATH/*.jpg`` without them is one set, returned for every split. Classes are the sorted names of the folders, those
    of ``train`` where there is one, unless each split has ``own_classes``; images directly in the folder have no label.

    Raises:
        ExunoError: for a missing or empty folder, a missing split, or a class of the test split that training has not.
    """
    if not path.is_dir():
        raise ExunoError(f"there is no folder {path}", "Check the path.")
    name = name or f"folder:{path}"
    subfolders = {entry.name for entry in path.iterdir() if entry.is_dir()}
    chosen = path
    names = None
    if _has_splits(subfolders):
        found = _folder_of(split, subfolders)
        if found is None:
            raise ExunoError(f"{path} has no split '{split}'", f"Its folders are {', '.join(sorted(subfolders))}.")
        chosen = path / found
        names = class_folders(path / "train") if "train" in subfolders and not own_classes else None
        name = f"{name}/{found}"
    classes = names or class_folders(chosen)
    files, labels = list_classes(chosen, classes) if classes else (_images(chosen), [])
    if not files:
        raise ExunoError(f"there are no images in {chosen}", f"Known suffixes: {' '.join(sorted(SUFFIXES))}.")
    if classes and (stray := set(class_folders(chosen)) - set(classes)):
        raise ExunoError(
            f"{chosen} has classes that {path / 'train'} has not: {', '.join(sorted(stray)[:5])}",
            "Use the same class folders in both splits (new classes for testing are for exuno fewshot).",
        )
    numbers = np.array(labels, np.int64) if classes else np.full(len(files), -1, np.int64)
    return FileData(name, chosen, files, numbers, classes or None, stats)


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
    """Names of the subfolders, sorted."""
    return tuple(sorted(e.name for e in os.scandir(folder) if e.is_dir() and not e.name.startswith(".")))


def list_classes(folder: Path, classes: tuple[str, ...]) -> tuple[list[str], list[int]]:
    """Files of the class folders, relative to ``folder``, and their labels; sorted by class, then by path."""
    files, labels = [], []
    for label, name in enumerate(classes):
        inside = [f"{name}/{file}" for file in _images(folder / name, deep=True)]
        files += inside
        labels += [label] * len(inside)
    return files, labels


def _images(folder: Path, deep: bool = False) -> list[str]:
    found = []
    for base, subfolders, names in os.walk(folder):
        if not deep:
            subfolders.clear()
        prefix = Path(base).relative_to(folder).as_posix()
        inside = (n for n in names if os.path.splitext(n)[1].lower() in SUFFIXES and not n.startswith("."))  # noqa: PTH122
        found += [name if prefix == "." else f"{prefix}/{name}" for name in inside]
    return sorted(found)
