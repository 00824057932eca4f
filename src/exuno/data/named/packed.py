"""Published data sets as people have them: in folders of another spelling, in a folder within a folder of the same
name, or still packed."""

import os
import re
import shlex
from pathlib import Path

from exuno.engine.errors import ExunoError

UNPACK = {
    (".tar.gz", ".tgz"): "tar xzf {} -C {}",
    (".tar", ".tar.bz2", ".tbz2", ".tar.xz", ".txz"): "tar xf {} -C {}",
    (".zip",): "unzip -q {} -d {}",
    (".rar",): "unrar x {} {}/",
    (".7z",): "7z x {} -o{}",
}


class Absent(ExunoError):
    """A data set is not where it was looked for."""


def plain(name: str) -> str:
    """A name without what is spelled in different ways: miniImageNet, mini_imagenet and mini-imagenet are one."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def begins(name: str, word: str) -> bool:
    """Whether a name begins with a word, however both are spelled; ``cifar100`` does not begin with ``cifar10``."""
    head, rest = plain(name)[: len(plain(word))], plain(name)[len(plain(word)) :]
    return head == plain(word) and not (head[-1:].isdigit() and rest[:1].isdigit())


def called(root: Path, name: str) -> list[Path]:
    """The folders in ``root`` that are called ``name``, however it is spelled, then those whose name begins so
    (``miniImageNet--ravi``); behind each the folder in it that has the same name, if there is one."""
    spelled = [path for path in folders(root) if begins(path.name, name)]
    spelled.sort(key=lambda path: plain(path.name) != plain(name))
    return [each for path in spelled for each in (path, path / path.name) if each.is_dir()]


def inside(root: Path, folder: str, mark: str, name: str, *archives: str) -> Path:
    """The folder of a data set: the one that holds the file or folder ``mark``. It may be ``root``, a folder in it that
    is called ``folder`` or ``name``, or a folder ``folder`` in one of these or in any other folder of ``root``.

    Raises:
        ExunoError: there is none; see :func:`absent`, to which ``archives`` (by default ``folder`` and ``name``) go.
    """
    for path in (*called(root, folder), *called(root, name), root):
        if (path / mark).exists():
            return path
    for path in (found for each in folders(root) for found in called(each, folder)):
        if (path / mark).exists():
            return path
    raise absent(name, root, f"{folder}/{mark}", *(archives or (folder, name)))


def absent(name: str, root: Path, needs: str, *archives: str) -> Absent:
    """The error for a data set that is not there: how to unpack it, if it lies packed in ``root`` or in a folder there,
    else what ``--data-root`` ``needs``.

    Args:
        name: of the data set.
        root: ``--data-root``.
        needs: what that must hold, in words.
        *archives: what names of its archives begin with, spelled in any way; by default ``name``.
    """
    packed = still_packed((root, *folders(root)), *(archives or (name,)))
    if packed:
        return Absent(f"{packed} is still packed", f"Unpack it: {command(packed)}")
    return Absent(f"{name} is not in {root}", f"--data-root must hold {needs}.")


def still_packed(places: tuple[Path, ...], *archives: str) -> Path | None:
    """The first archive in these folders whose name begins with one of the words ``archives``."""
    return next(
        (
            path
            for place in places
            for path in _entries(place)
            if any(path.name.lower().endswith(ends) for ends in UNPACK)
            and any(begins(path.name, word) for word in archives)
        ),
        None,
    )


def command(packed: Path) -> str:
    """What unpacks an archive where it lies."""
    line = next(line for ends, line in UNPACK.items() if packed.name.lower().endswith(ends))
    return line.format(shlex.quote(str(packed)), shlex.quote(str(packed.parent)))


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, sorted; of one that cannot be read, nothing."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def folders(root: Path) -> tuple[Path, ...]:
    """The folders in a folder, sorted; of one that cannot be read, none."""
    try:
        return tuple(sorted(Path(entry.path) for entry in os.scandir(root) if entry.is_dir()))
    except OSError:
        return ()
