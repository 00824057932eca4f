"""Folders of data: the files in them, and which folders are splits and which classes."""

import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from exuno.data.names import STANDS_IN, splits_among
from exuno.data.subset import abbreviated
from exuno.engine.errors import ExunoError, tell

CLUTTER = frozenset(
    (
        *("__macosx", "@eadir", "thumbs.db", "ehthumbs.db", "desktop.ini", "lost+found", "$recycle.bin"),
        *("system volume information", "icon\r", "__pycache__"),
    )
)
"""What systems leave in folders, in lower case; like hidden files and folders, it is passed over without a word."""
LINKS = "broken links"


def ignored(name: str) -> bool:
    """Whether a file or folder is nobody's data: hidden, or left there by a system."""
    return name.startswith(".") or name.lower() in CLUTTER


def entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """What a folder holds, but for what is ignored, in no order; read as far as it is asked for.

    Raises:
        ExunoError: the folder cannot be read.
    """
    try:
        with os.scandir(folder) as found:
            for entry in found:
                if not ignored(entry.name):
                    yield entry
    except OSError as error:
        raise ExunoError(f"the folder {folder} cannot be read: {error.strerror}", "Check its permissions.") from None


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in a folder, links to folders too, sorted."""
    return sorted(entry.name for entry in entries(folder) if is_folder(entry))


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; a link to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def wanted(name: str, suffixes: Collection[str]) -> bool:
    """Whether a file is of the kind, by its suffix in upper or lower case."""
    return os.path.splitext(name)[1].lower() in suffixes  # noqa: PTH122


def files_below(
    folder: Path, suffixes: Collection[str], left: Counter[str] | None = None, *, deep: bool = True
) -> list[str]:
    """The files that end in one of ``suffixes``, as POSIX paths relative to ``folder``, sorted; links are followed.

    Args:
        folder: where to look.
        suffixes: in lower case.
        left: counts the other files by their suffix.
        deep: also in the folders below.

    Raises:
        ExunoError: a folder that cannot be read.
    """
    found = []
    for name, whole in _walk(folder, "", deep, _around(folder)):
        if whole and wanted(name, suffixes):
            found.append(name)
        elif left is not None:
            left[(os.path.splitext(name)[1].lower() or "without a suffix") if whole else LINKS] += 1  # noqa: PTH122
    return sorted(found)


def holds(folder: Path, suffixes: Collection[str], *, deep: bool = True) -> bool:
    """Whether a file that ends in one of ``suffixes`` lies in a folder or below it."""
    return any(whole and wanted(name, suffixes) for name, whole in _walk(folder, "", deep, _around(folder)))


def _around(folder: Path) -> frozenset[tuple[int, int]]:
    """The folders that a folder lies in, by device and number."""
    status = [parent.stat() for parent in folder.absolute().parents]
    return frozenset((each.st_dev, each.st_ino) for each in status)


def _walk(folder: Path, prefix: str, deep: bool, above: frozenset[tuple[int, int]]) -> Iterator[tuple[str, bool]]:
    """Relative paths of all files, and whether each is one and no broken link; a folder's own before those below it.
    ``above``: the folders that this one lies in, to which a link may lead back."""
    try:
        status = folder.stat()
    except OSError as error:
        raise ExunoError(f"the folder {folder} cannot be read: {error.strerror}", "Check its permissions.") from None
    here = above | {(status.st_dev, status.st_ino)}
    if len(here) == len(above):
        return
    below = []
    for entry in entries(folder):
        if is_folder(entry):
            below.append(entry.name)
        else:
            yield f"{prefix}{entry.name}", Path(entry.path).is_file() if entry.is_symlink() else entry.is_file()
    for name in below if deep else ():
        yield from _walk(folder / name, f"{prefix}{name}/", deep, here)


@dataclass(frozen=True)
class Layout:
    """Where the splits of a folder lie."""

    root: Path
    """The folder itself, or the one inside it that holds everything."""
    splits: dict[str, Path] = field(default_factory=dict)
    """Of ``train``, ``test`` and ``val`` those that there are; {} for a folder that is one set."""

    def folder(self, split: str) -> Path | None:
        """The folder of a split, or of the one that stands in for it."""
        return next((self.splits[name] for name in STANDS_IN.get(split, ()) if name in self.splits), None)


def layout_of(path: Path, suffixes: Collection[str], what: str) -> Layout:
    """What the folders in ``path`` are.

    Two folders or more that are called like different splits (:mod:`exuno.data.names`) are splits, and so is one
    beside which nothing lies. A lone one among several others that hold files is a class like them, and so are all if
    none has folders in its turn. A folder in which all files are in one other folder, which has classes or splits, is
    passed through. Whatever could be meant otherwise is told.

    Args:
        path: the folder.
        suffixes: of the files that are looked for, in lower case.
        what: they are, for messages.

    Raises:
        ExunoError: no folder, one that cannot be read, or two folders that mean the same split.
    """
    if not path.is_dir():
        if path.exists():
            raise ExunoError(f"{path} is a file, not a folder", "Give the folder; unpack it first if it is packed.")
        raise ExunoError(f"there is no folder {path}", "Check the path.")
    root, splits = path, _splits(path, suffixes)
    while not splits and (inner := _only_folder(root, suffixes)):
        root, splits = inner, _splits(inner, suffixes)
    if root != path:
        tell(f"{path}: everything is taken from {root}, the only folder there that holds {what}")
    return Layout(root, _with_classes(_entered(splits, suffixes), suffixes, what))


def _splits(root: Path, suffixes: Collection[str]) -> dict[str, Path]:
    """The folders in ``root`` that are splits; {} if none are."""
    names = subfolders(root)
    groups = splits_among(names)
    if not groups:
        return {}
    rest, found = groups[0]
    several = len(found) > 1
    mine = sorted(name for each in found.values() for name in each)
    full = [name for name in names if holds(root / name, suffixes)]
    if others := [name for name in full if name not in mine]:
        # What has classes of its own is no class; but a lone one may be, a kind of train beside car and bus.
        deep = any(_has_folders(root / name, suffixes) for name in mine)
        if not deep or (not several and (len(others) > 1 or _has_folders(root / others[0], suffixes))):
            kind = "classes" if len(mine) > 1 else "a class"
            tell(
                f"{root}: {abbreviated(mine)} {'are' if len(mine) > 1 else 'is'} taken for {kind}, beside "
                f"{abbreviated(others)}"
            )
            return {}
        tell(f"{root}: its splits are {abbreviated(mine)}; left out: {abbreviated(others)}")
    if rest and len(groups) > 1 and len(groups[1][1]) > 1:
        second = sorted(name for each in groups[1][1].values() for name in each)
        raise ExunoError(
            f"{root} has two sets of splits: {abbreviated(mine)}; {abbreviated(second)}", "Give a folder for each."
        )
    return {split: root / _one(root, split, each, full) for split, each in found.items()}


def _one(root: Path, split: str, names: Sequence[str], full: Collection[str]) -> str:
    there = [name for name in names if name in full] or names[:1]
    if len(there) > 1:
        raise ExunoError(
            f"{root} has {len(there)} folders that mean its split '{split}': {abbreviated(there)}",
            "Put their files into one of them, or rename the others.",
        )
    return there[0]


def _only_folder(root: Path, suffixes: Collection[str]) -> Path | None:
    """The one folder with files in ``root``, if it has folders in its turn; None where there are others, or files."""
    full = _two_with_files(root, suffixes)
    if len(full) != 1 or holds(root, suffixes, deep=False):
        return None
    inner = root / full[0]
    deep = len(_two_with_files(inner, suffixes)) > 1 or splits_among(subfolders(inner)) or _only_folder(inner, suffixes)
    return inner if deep else None


def _two_with_files(folder: Path, suffixes: Collection[str]) -> list[str]:
    """The names of the first two folders in a folder that hold files: more need not be looked for."""
    return list(islice((name for name in subfolders(folder) if holds(folder / name, suffixes)), 2))


def _has_folders(folder: Path, suffixes: Collection[str]) -> bool:
    """Whether a folder has folders that hold files."""
    return bool(_two_with_files(folder, suffixes))


def _entered(splits: dict[str, Path], suffixes: Collection[str]) -> dict[str, Path]:
    """Splits whose folders hold all in one other folder (``training_set/training_set/CLASS``): those inner ones."""
    train = splits.get("train")
    if train is not None and _only_folder(train, suffixes) is None:
        return splits  # then a test of one class is no such folder either
    return {split: _only_folder(folder, suffixes) or folder for split, folder in splits.items()}


def _with_classes(splits: dict[str, Path], suffixes: Collection[str], what: str) -> dict[str, Path]:
    """The splits but those without class folders where training has them: nothing can be measured on these."""
    train = splits.get("train")
    if train is None or not _has_folders(train, suffixes):
        return splits
    kept = {}
    for split, folder in splits.items():
        if split != "train" and not _has_folders(folder, suffixes) and holds(folder, suffixes):
            tell(f"{folder} is left out: its {what} are not in class folders, as those of {train.name} are")
        else:
            kept[split] = folder
    return kept
