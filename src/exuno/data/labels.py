"""Labels as people store them -> numbers of classes from 0, and what is wrong with them. NumPy only."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exuno.data.subset import abbreviated
from exuno.engine.errors import ExunoError, tell
from exuno.engine.untrusted import CLASSES

MOST, USED = 1000, 0.1
"""Beyond ``MOST`` classes without names, at least this share of them must have a label: else labels are no numbers of
classes but something else, and a network with so many outputs would be of no use."""
IGNORED = 255
"""What segmentation data and some lists write for "none of the classes"."""


def plain(raw: ArrayLike, what: str) -> NDArray[Any]:
    """One label for each sample, [N]: int64, or text.

    Whole numbers are taken from integers, booleans, floats and decimal digits in text; [N, 1] is [N]; one-hot rows
    [N, K] become the place of their 1, which is told. Text is left to name classes, see :func:`numbered`.

    Args:
        raw: labels in any type.
        what: they are, for messages.

    Raises:
        ExunoError: labels that are no classes, with the first bad row, counted from 0: fractions, several labels or
            probabilities for one image, other types.
    """
    found = np.asarray(raw)
    if found.dtype.kind == "O":
        found = _typed(found, what)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim == 2 and found.dtype.kind in "biuf":
        return _one_hot(found, what)
    if found.ndim != 1:
        raise ExunoError(f"{what} is {found.dtype} {list(found.shape)}", "Labels are [N] or [N, 1], one for an image.")
    if found.dtype.kind == "S":
        found = np.char.decode(found, "utf-8", "replace")
    if found.dtype.kind == "U":
        found = np.char.strip(found)
        bare = np.char.lstrip(found, "-")
        if not len(found) or not np.char.isdecimal(bare).all() or np.char.str_len(bare).max() > 18:
            return found
        return found.astype(np.int64)
    if found.dtype.kind not in "biuf":
        raise ExunoError(f"{what} is {found.dtype}", "Give whole numbers from 0, or the names of classes as text.")
    return _whole(found, what)


def numbered(labels: NDArray[Any], names: Sequence[str] | None, what: str) -> NDArray[np.int64]:
    """The number of the class of each label, int64 [N]: text is looked up among ``names``.

    Raises:
        ExunoError: text that is no name, with its row.
    """
    if labels.dtype.kind != "U":
        return labels.astype(np.int64)
    place = {name: number for number, name in enumerate(names or ())}
    found = np.array([place.get(name, -1) for name in labels.tolist()], np.int64)
    if len(bad := np.flatnonzero(found < 0)):
        raise ExunoError(
            f"row {bad[0]} of {what} is '{labels[bad[0]]}', which is no class",
            f"The classes are {abbreviated(list(names or ()), 8)}." if names else "Give whole numbers from 0.",
        )
    return found


def names_in(labels: Sequence[NDArray[Any]]) -> tuple[str, ...] | None:
    """The sorted names of classes in labels that are text; None if none are."""
    text = [np.unique(each) for each in labels if each.dtype.kind == "U"]
    return tuple(sorted(set(np.concatenate(text).tolist()))) if text else None


def count_classes(labels: NDArray[np.int64], names: Sequence[str] | None, what: str) -> int:
    """How many classes labels are of: as many as there are names, or as the largest label tells; 0 for samples that are
    all unlabelled (-1).

    Args:
        labels: int64 [N].
        names: of the classes, if known.
        what: the labels are, for messages.

    Raises:
        ExunoError: negative labels among others, labels beyond the names, or so far apart that hardly any class has a
            sample.
    """
    if not len(labels) or (labels == -1).all():
        return 0
    bad = np.flatnonzero(labels < 0)
    if len(bad):
        raise ExunoError(
            f"row {bad[0]} of {what} is {labels[bad[0]]}"
            + (f", as {len(bad) - 1:,} others are" if bad[1:].size else ""),
            "Labels count from 0: give each image its class, or leave the images without one out.",
        )
    high = int(labels.max())
    if names:
        if high >= len(names):
            row = int(np.flatnonzero(labels >= len(names))[0])
            raise ExunoError(
                f"{what} names {len(names):,} classes, its labels go up to {high:,} (row {row} is {labels[row]:,})",
                "Labels count from 0; name all classes.",
            )
        return len(names)
    used = len(np.unique(labels))
    if high >= MOST and used < USED * (high + 1):
        row = int(labels.argmax())
        raise ExunoError(
            f"{what} has {used:,} different labels that go up to {high:,} (row {row}): that would be {high + 1:,} "
            f"classes, most of them without an image",
            "Number the classes that there are from 0 (numpy.unique(labels, return_inverse=True)), or name them all.",
        )
    CLASSES.check(high + 1, what)
    return high + 1


def tell_unused(labels: NDArray[np.int64], classes: int, names: Sequence[str] | None, what: str) -> None:
    """Says once which classes have no sample in a training set, and what that may mean.

    Args:
        labels: int64 [N], in 0..classes-1.
        classes: their number.
        names: of the classes, if known.
        what: the labels are.
    """
    there = np.bincount(labels[labels >= 0], minlength=classes) > 0
    unused = np.flatnonzero(~there).tolist()
    if not unused or not there.any():
        return
    shown = abbreviated([names[number] if names else str(number) for number in unused])
    why = ""
    if not names and classes == IGNORED + 1 and not there[IGNORED - 1]:
        why = f"; if {IGNORED} stands for no class, leave these images out"
    elif not names and not there[0]:
        why = "; if they count from 1, subtract 1"
    have = "has" if len(unused) == 1 else "have"
    tell(f"{what}: {len(unused):,} of {classes:,} classes {have} no image ({shown}){why}")


def _typed(found: NDArray[Any], what: str) -> NDArray[Any]:
    """An array of Python objects as what they are."""
    kinds = {type(value).__name__ for value in found.ravel().tolist()}
    if kinds <= {"str"} or kinds <= {"int", "bool"} or kinds <= {"float", "int"}:
        return np.array(found.tolist())
    raise ExunoError(
        f"{what} holds Python objects ({abbreviated(sorted(kinds))})", "Give whole numbers, or text alone."
    )


def _whole(found: NDArray[Any], what: str) -> NDArray[np.int64]:
    if found.dtype.kind == "f":
        fraction = ~np.isfinite(found) | (found != np.round(found))
        if fraction.any():
            row = int(fraction.argmax())
            raise ExunoError(
                f"row {row} of {what} is {found[row]:g}, which is no class",
                "Labels are whole numbers from 0; measured values are not for a classifier.",
            )
    large = np.abs(found.astype(np.float64)) >= 2**53
    if large.any():
        row = int(large.argmax())
        raise ExunoError(f"row {row} of {what} is {found[row]}, which is no class", "Number the classes from 0.")
    return found.astype(np.int64)


def _one_hot(found: NDArray[Any], what: str) -> NDArray[np.int64]:
    """The place of the 1 in each row of [N, K]."""
    values = found.astype(np.float64)
    zeros_and_ones = bool(((values == 0) | (values == 1)).all())
    ones = values.sum(1)
    if zeros_and_ones and len(found) and (ones == 1).all():
        tell(f"{what} is one-hot {list(found.shape)}: the place of the 1 is the class")
        return values.argmax(1).astype(np.int64)
    shape = f"{what} is {found.dtype} {list(found.shape)}"
    if zeros_and_ones and len(found):
        row = int((ones != 1).argmax())
        raise ExunoError(
            f"{shape}, and row {row} has {ones[row]:.0f} ones: several labels for one image, or none",
            "Give each image one class; several are not supported.",
        )
    if found.dtype.kind == "f" and len(found) and (values >= 0).all() and np.allclose(ones, 1, atol=1e-3):
        raise ExunoError(
            f"{shape}: soft labels, probabilities of classes", "Give the likeliest class of each: labels.argmax(1)."
        )
    raise ExunoError(shape, "Labels are whole numbers [N] or [N, 1]; several for one image are not supported.")
