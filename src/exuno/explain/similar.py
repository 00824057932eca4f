"""Which classes are similar: the nearest ones, or those of the same group; and the three that a picture shows."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from exuno.data.subset import abbreviated
from exuno.engine.documents import read_json
from exuno.engine.errors import ExunoError
from exuno.explain.geometry import Floats, Mask

USUAL = 3


def nearest(distances: Floats, count: int | None) -> Mask:
    """The ``count`` nearest other classes of each class by distances [C, C]: bool [C, C].

    Args:
        distances: of all classes.
        count: how many; None: 3, or as many as leave one class that is not similar.

    Raises:
        ExunoError: so many that no class is left.
    """
    classes = len(distances)
    if count is not None and count > classes - 2:
        raise ExunoError(
            f"--neighbours is {count}, but there are {classes} classes",
            f"Give at most {classes - 2}, so that one class is not similar.",
        )
    far = np.where(np.eye(classes, dtype=bool), np.inf, distances)
    order = far.argsort(1, kind="stable")[:, : count or min(USUAL, classes - 2)]
    mask = np.zeros((classes, classes), bool)
    np.put_along_axis(mask, order, True, 1)
    return mask


def grouped(path: Path, names: Sequence[str], missing: Sequence[str] = ()) -> Mask:
    """The other classes of its group for each class: bool [C, C]; none for a class that is in no group.

    Args:
        path: a JSON file, ``{"GROUP": ["CLASS", ...], ...}``.
        names: of the C classes.
        missing: classes without images, which a group may name all the same.

    Raises:
        ExunoError: no such file, another content, an unknown class, a class in two groups, or no pair at all.
    """
    mask, taken = np.zeros((len(names), len(names)), bool), dict[str, str]()
    number = {name: label for label, name in enumerate(names)}
    for group, members in _read(path).items():
        for member in members:
            if member not in number and member not in missing:
                raise unknown(member, names, f"in the group '{group}' of {path}")
            if member in taken:
                raise ExunoError(
                    f"{path} has the class '{member}' in '{taken[member]}' and in '{group}'", "Put it in one group."
                )
            taken[member] = group
        inside = [number[member] for member in members if member in number]
        mask[np.ix_(inside, inside)] = True
    np.fill_diagonal(mask, False)
    if not mask.any():
        raise ExunoError(f"{path} has no group of two classes", "Put classes that are similar into one group.")
    if mask.sum() == mask.size - len(names):
        raise ExunoError(f"{path} has all classes in one group", "Give at least two groups.")
    return mask


def _read(path: Path) -> dict[str, list[str]]:
    if not path.is_file():
        raise ExunoError(f"there is no file {path}", 'Write one: {"dogs": ["poodle", "beagle"], "cats": [...]}.')
    content = read_json(path, todo="Mend the file.")
    good = all(isinstance(each, list) and all(isinstance(name, str) for name in each) for each in content.values())
    if not good:
        raise ExunoError(f"{path} holds no groups of classes", 'The form is {"GROUP": ["CLASS", ...], ...}.')
    return content


def three_of(names: Sequence[str], asked: Sequence[str], distances: Floats) -> list[int]:
    """Numbers of the three classes to project: those asked for; else the two nearest, and the one whose smaller
    distance from the two is the largest.

    Args:
        names: of the C classes.
        asked: three names, or none.
        distances: of all classes, [C, C].

    Raises:
        ExunoError: an unknown name.
    """
    for name in asked:
        if name not in names:
            raise unknown(name, names)
    if asked:
        return [list(names).index(name) for name in asked]
    far = np.where(np.eye(len(names), dtype=bool), np.inf, distances)
    first, second = sorted(divmod(int(far.argmin()), len(names)))
    apart = np.minimum(distances[first], distances[second])
    apart[[first, second]] = -1
    return [first, second, int(apart.argmax())]


def unknown(name: str, names: Sequence[str], where: str = "") -> ExunoError:
    """The mistake of a class that does not exist."""
    near = get_close_matches(name, names, 1)
    hint = f"Did you mean '{near[0]}'? " if near else ""
    return ExunoError(
        f"there is no class '{name}'{f' {where}' if where else ''}", f"{hint}Some are: {abbreviated(names)}."
    )
