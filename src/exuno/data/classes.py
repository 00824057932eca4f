"""Names of classes: their order, that of class folders, and lists of them in files."""

import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from exuno.data.subset import abbreviated
from exuno.engine.documents import read_text
from exuno.engine.errors import ExunoError, tell

FILE = "classes.txt"


def numbers(names: Iterable[str]) -> list[int] | None:
    """The numbers that names stand for; None unless all are numbers from 0 in decimal digits, and no two the same."""
    listed = list(names)
    if not listed or not all(name.isascii() and name.isdecimal() for name in listed):
        return None
    found = [int(name) for name in listed]
    return found if len(set(found)) == len(found) else None


def in_order(names: Collection[str]) -> tuple[str, ...]:
    """Names in the order of their labels: as numbers if all are numbers (2 before 10), else as text."""
    found = numbers(names)
    if found is None:
        return tuple(sorted(names))
    return tuple(name for _, name in sorted(zip(found, names, strict=True)))


def tell_order(names: Sequence[str], where: object, otherwise: str) -> None:
    """Says so, once, where names are numbers and text would order them otherwise.

    Args:
        names: as :func:`in_order` orders them.
        where: the folder or list.
        otherwise: how another order is asked for.
    """
    if tuple(sorted(names)) != tuple(names) and numbers(names) is not None:
        text = ", ".join(sorted(names)[:3])
        tell(
            f"the classes of {where} are numbers and labelled in the order of the numbers "
            f"({abbreviated(names, 3)}), not of "
            f"the text ({text}, …) as by torchvision's ImageFolder; {otherwise}"
        )


def label_folders(folders: tuple[str, ...], places: Sequence[Path], own: bool = False) -> tuple[tuple[str, ...], ...]:
    """Class folders in the order of their labels, and the names of the classes.

    The first ``classes.txt`` in one of the places says both: the names of the folders, one a line, in the order of the
    labels. Where folders are numbers and the lines are not these, line n names the folder n, the first being 0. Without
    such a file folders are in the order of :func:`in_order` and name their classes.

    Args:
        folders: names of the class folders.
        places: folders in which a list may lie.
        own: whether classes without a folder are left out; else they are told, and keep their labels.

    Raises:
        ExunoError: a list that is broken, or does not name every folder.
    """
    listed = [place / FILE for place in places]
    file = next((path for path in listed if os.path.lexists(path) and not path.is_dir()), None)
    if file is None or not folders:
        if not own:
            tell_order(folders, places[0], f"a {FILE} there, one folder a line, gives another order")
        return folders, folders
    names = read_classes(file)
    number = numbers(folders)
    if number is not None and not set(folders) & set(names):
        if max(number) >= len(names):
            raise ExunoError(
                f"{file} names {len(names)} classes, and there is a class folder {max(number)}",
                "Name them all, one a line; the first line names the folder 0.",
            )
        by_number = dict(zip(number, folders, strict=True))
        listed = tuple(by_number.get(label, str(label)) for label in range(len(names)))
    else:
        listed = names
    there = set(folders)
    if unlisted := [folder for folder in folders if folder not in listed]:
        raise ExunoError(
            f"{file} does not list the class folders {abbreviated(unlisted)}",
            "List every class folder, one a line in the order of the labels; or rename the file if it is something "
            "else.",
        )
    kept = [(folder, name) for folder, name in zip(listed, names, strict=True) if not own or folder in there]
    if lacking := [name for folder, name in kept if folder not in there]:
        tell(f"{file} lists classes that have no folder: {abbreviated(lacking)}")
    return tuple(folder for folder, _ in kept), tuple(name for _, name in kept)


def read_classes(file: Path, repeated: bool = False) -> tuple[str, ...]:
    """The names in a ``classes.txt``, one a line; blank lines at its end do not count.

    Args:
        file: the list.
        repeated: whether several classes may have one name (two of ImageNet are cranes), as where only numbers count.

    Raises:
        ExunoError: it cannot be read, or has an empty name or, unless ``repeated``, one twice.
    """
    names = [line.strip() for line in read_text(file).rstrip().splitlines()]
    if "" in names or not names:
        raise ExunoError(f"{file} has an empty line {names.index('') + 1 if names else 1}", "Name a class a line.")
    if not repeated and (twice := next((name for name in names if names.count(name) > 1), None)):
        raise ExunoError(f"{file} names '{twice}' twice", "Name each class once.")
    return tuple(names)
