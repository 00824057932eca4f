"""``folder:PATH``: one folder for each class (torchvision's ImageFolder), or flat unlabelled images."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exuno.data.class_match import plain
from exuno.data.class_order import in_order, label_folders
from exuno.data.constants import IMAGENET, Stats
from exuno.data.deep import split_bits, tell_depth
from exuno.data.files import SUFFIXES, FileData
from exuno.data.layout import Layout, layout_of
from exuno.data.split_words import HOLD_OUT, split_word
from exuno.data.subset import some
from exuno.data.tree import files_below, holds, subfolders
from exuno.engine.errors import ExunoError
from exuno.engine.tell import tell

NOTES = (".txt", ".md", ".csv", ".json", ".yaml", ".yml", ".xml", ".html", ".tar", "without a suffix")
"""Suffixes of what usually lies beside the data and is not missed."""


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
        name = f"{name}/{found.folder.relative_to(bare).as_posix()}"
    data = FileData(name, found.folder, found.files, found.labels, found.classes, stats, bits)
    tell_depth(f"folder:{bare}", bits, data.files, data.read)
    return data


def find_files(path: Path, split: str, suffixes: Collection[str], what: str, *, own_classes: bool = False) -> Found:
    """The files of a split that end in one of ``suffixes``; ``what`` they are, for messages.

    ``PATH/train/CLASS/…`` and ``PATH/test/CLASS/…`` (or ``val``, and the other names of :mod:`exuno.data.split_words`)
    are splits; a folder ``PATH/CLASS/…`` or ``PATH/*.jpg`` without them is one set, returned for every split. Classes
    are the names of the folders that hold files, those of ``train`` where there is one, unless each split has
    ``own_classes``, in the order that :func:`~exuno.data.class_order.label_folders` tells; files directly in the folder
    have no label. What is left out is told once.

    Raises:
        ExunoError: for a missing or empty folder, a missing split, or a class of the test split that training has not.
    """
    layout = layout_of(path, suffixes, what)
    chosen, train = layout.root, None
    if layout.splits:
        found = layout.folder(split)
        if found is None:
            names = ", ".join(sorted(each.relative_to(path).as_posix() for each in layout.splits.values()))
            raise ExunoError(
                f"{path} has no split '{split}'", f"Its splits are in {names}." + HOLD_OUT * (split == "test")
            )
        chosen = found
        train = None if own_classes else layout.splits.get("train")
    own = class_folders(chosen, suffixes)
    folders = own if train in (None, chosen) else class_folders(train, suffixes) or own
    if stray := [name for name in own if name not in folders]:
        spelt = {plain(name): name for name in folders}
        if all(plain(name) in spelt for name in stray):
            raise ExunoError(
                f"{chosen} and {train} spell their class folders differently: {stray[0]} and {spelt[plain(stray[0])]}",
                "Give the class folders of both splits the same names.",
            )
        raise ExunoError(
            f"{chosen} has classes that {train} has not: {some(stray)}",
            "Use the same class folders in both splits (new classes for testing are for exuno fewshot).",
        )
    folders, classes = label_folders(folders, places_of_list(layout, chosen), own_classes)
    left, beside = Counter[str](), Counter[str]()
    loose = files_below(chosen, suffixes, beside, deep=False)
    files, labels = list_classes(chosen, folders, suffixes, left) if own else (loose, [-1] * len(loose))
    left.update({kind: count for kind, count in beside.items() if kind not in NOTES})
    if not files:
        files_below(chosen, suffixes, left := Counter[str]())
        raise ExunoError(
            f"there are no {what} in {chosen}" + (f", but {_counted(left)}" if left else ""),
            f"Known suffixes: {' '.join(sorted(suffixes))}.",
        )
    _tell(chosen, what, left, len(loose) if own else 0, own, [name for name in folders if name not in own])
    inner = {Path(file).parent for file in files}
    if own and len(inner) > len(own) and all(len(folder.parts) > 1 for folder in inner):
        one = min(inner)
        tell(f"{chosen}: {what} lie in folders below the class folders, such as {one}, which is class {one.parts[0]}")
    return Found(chosen, files, np.array(labels, np.int64), classes or None)


def split_folders(path: Path) -> dict[str, Path]:
    """The folder of each split of images that ``path`` has, a val folder that stands in for test being test alone; {}
    for a folder without splits, or none."""
    layout = layout_of(path, SUFFIXES, "images") if path.is_dir() else Layout(path)
    parts = ("train", "test", "val") if "test" in layout.splits else ("train", "test")
    return {part: folder for part in parts if layout.splits and (folder := layout.folder(part)) is not None}


def class_folders(folder: Path, suffixes: Collection[str] | None = None) -> tuple[str, ...]:
    """Names of the subfolders, sorted; as numbers, if all are. With ``suffixes``, of those that hold such a file."""
    return in_order([name for name in subfolders(folder) if suffixes is None or holds(folder / name, suffixes)])


def places_of_list(layout: Layout, chosen: Path) -> list[Path]:
    """Where a list of the classes may lie: in a folder, in its training split, in the split at hand; for a folder that
    is itself a split, in the one around it."""
    training = [layout.splits["train"]] if "train" in layout.splits else []
    return [layout.root, *training, chosen, *([layout.root.parent] if split_word(layout.root.name) else [])]


def list_classes(
    folder: Path, classes: tuple[str, ...], suffixes: Collection[str] = SUFFIXES, left: Counter[str] | None = None
) -> tuple[list[str], list[int]]:
    """Files of the class folders, relative to ``folder``, and their labels; sorted by class, then by path. ``left``
    counts other files by their suffix."""
    files, labels = [], []
    for label, name in enumerate(classes):
        if (folder / name).is_dir():
            inside = [f"{name}/{file}" for file in files_below(folder / name, suffixes, left)]
            files += inside
            labels += [label] * len(inside)
    return files, labels


def _tell(folder: Path, what: str, left: Counter[str], loose: int, own: tuple[str, ...], lacking: list[str]) -> None:
    """One line about all that is left out of a folder, and the classes that it lacks."""
    words = []
    if left:
        words.append(f"{left.total():,} file{'s' * (left.total() > 1)} left out: {_counted(left)}")
    if loose:
        words.append(f"{what} beside the class folders left out: {loose:,}")
    if own and (empty := [name for name in subfolders(folder) if name not in own and name not in lacking]):
        words.append(f"folders without {what} left out: {some(empty)}")
    if lacking:
        words.append(f"classes of training without {what} here: {some(lacking)}")
    if words:
        tell(f"{folder}: {'; '.join(words)}")


def _counted(left: Counter[str]) -> str:
    return some([f"{count:,} {kind}" for kind, count in left.most_common()])
