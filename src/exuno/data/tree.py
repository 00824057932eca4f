"""Files of one kind in a folder and below it, and what else lies there. No torch."""

import os
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from exuno.engine.errors import ExunoError

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
