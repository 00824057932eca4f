"""The few-shot benchmarks: classes of CIFAR-100 and of ImageNet in published lists of train, val and test classes."""

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path

from exuno.data.base import Data
from exuno.data.constants import CIFAR_FEWSHOT, IMAGENET, Stats
from exuno.data.named.packed import Absent, absent, called, folders, plain
from exuno.data.subset import abbreviated, choose, names_of
from exuno.engine.errors import ExunoError

FEWSHOT = ("cifar-fs", "fc100", "mini-imagenet", "tiered-imagenet")
PARTS = ("train", "val", "test")
NAMES = {
    "train": ("train", "training", "base"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing", "novel"),
}
"""What folders of the parts are called, in capitals as well, and with ``meta-`` before it."""
CIFAR100 = "cifar-100-python/, cifar-100-python.tar.gz, cifar100.npz, or train/CLASS and test/CLASS"
"""What ``--data-root`` must hold for it."""

Groups = dict[str, tuple[str, ...]]


@cache
def class_groups(name: str) -> dict[str, Groups]:
    """Part (train, val, test) -> group -> classes of a benchmark; a benchmark without groups has one, named ''.

    Groups are superclasses of CIFAR-100 (FC100) or the wnids of categories (tieredImageNet).
    """
    found: dict[str, Groups] = {part: {} for part in PARTS}
    for line in (files("exuno.data.named") / "classes" / f"{name}.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            head, _, names = line.partition(":")
            part, _, group = head.partition(" ")
            found[part][group] = tuple(names.split())
    return found


def class_lists(name: str) -> dict[str, tuple[str, ...]]:
    """Part (train, val, test) -> sorted names of its classes."""
    groups = class_groups(name)
    return {part: tuple(sorted(each for names in groups[part].values() for each in names)) for part in PARTS}


def open_cifar_part(name: str, cifar100: Callable[[Path, str], Data], root: Path, split: str) -> Data:
    """CIFAR-FS or FC100: the images of the classes of a part, from folders of its own, or the training and test images
    (600 a class) of CIFAR-100.

    Args:
        name: ``cifar-fs`` or ``fc100``.
        cifar100: opens a split of CIFAR-100 from a folder.
        root: folder that holds ``NAME/train/CLASS``, ``val`` and ``test`` (see :func:`own_part`), or CIFAR-100.
        split: ``train``, ``val`` or ``test``.

    Raises:
        ExunoError: for another split, if neither is there, or CIFAR-100 has classes of other names.
    """
    wanted = _list(name, split)
    if own := own_part(name, root, split, len(wanted), CIFAR_FEWSHOT):
        return own
    try:
        parents = [cifar100(root, part) for part in ("train", "test")]
    except Absent:
        raise absent(name, root, f"{name}/train/CLASS, val and test, or CIFAR-100: {CIFAR100}") from None
    if lacking := sorted(set(wanted) - set(names_of(parents[0]))):
        raise ExunoError(
            f"the CIFAR-100 in {root} does not name the classes {abbreviated(lacking)}",
            "Use the official files, or name the classes as they do.",
        )
    return choose(f"{name}/{split}", parents, wanted, CIFAR_FEWSHOT)


def open_imagenet_part(name: str, root: Path, split: str) -> Data:
    """mini-ImageNet or tieredImageNet from folders, one for each class.

    Args:
        name: ``mini-imagenet`` or ``tiered-imagenet``.
        root: folder that holds ``NAME/train/CLASS``, ``val`` and ``test``, as :func:`own_part` finds them, or all
            classes together in ``NAME/WNID``, ``imagenet/train/WNID`` or ``train/WNID``. From ImageNet itself all
            images of a class are taken, not the 600 that were drawn for mini-ImageNet.
        split: ``train``, ``val`` or ``test``.

    Raises:
        ExunoError: for another split, and if classes are missing.
    """
    from exuno.data.images.folder import class_folders

    wanted = _list(name, split)
    if own := own_part(name, root, split, len(wanted), IMAGENET):
        return own
    places = (*called(root, name), root / "imagenet/train", root / "ILSVRC/Data/CLS-LOC/train", root / "train", root)
    folder = next((place for place in places if (place / wanted[0]).is_dir()), None)
    if folder is None:
        raise absent(name, root, f"{name}/train/WNID/… or imagenet/train/WNID/…")
    if lacking := sorted(set(wanted) - set(class_folders(folder))):
        raise ExunoError(f"{folder} has no folder {abbreviated(lacking)}", "Unpack it completely.")
    return _of_classes(f"{name}/{split}", folder, wanted, IMAGENET)


def own_part(name: str, root: Path, split: str, count: int, stats: Stats) -> Data | None:
    """A part of a benchmark in folders of its own, ``FOLDER/PART/CLASS/…``, or None.

    ``FOLDER`` is called like the benchmark, in any spelling, or is ``root`` itself if its part has as many classes as
    published; ``PART`` is ``train``, ``val`` or ``test``, or one of ``NAMES``. Classes may have any names.

    Raises:
        ExunoError: if a folder of the name of the benchmark lacks the part, or has another number of classes.
    """
    from exuno.data.images.folder import class_folders

    for folder in (*called(root, name), root):
        parts = {part: found for part in PARTS if (found := _part(folder, part))}
        if not parts or (folder == root and len(parts) < 2):
            continue  # a lone train there is ImageNet's
        names = class_folders(parts[split]) if split in parts else ()
        if len(names) == count:
            return _of_classes(f"{name}/{split}", parts[split], names, stats)
        if folder != root:
            raise ExunoError(
                f"{parts.get(split, folder / split)} has {len(names)} class folders, {split} of {name} has {count}",
                "Unpack it completely, or use folder:PATH for other classes.",
            )
    return None


def _part(folder: Path, part: str) -> Path | None:
    there = {plain(path.name).removeprefix("meta"): path for path in folders(folder)}
    return next((there[word] for word in NAMES[part] if word in there), None)


def _of_classes(name: str, folder: Path, classes: tuple[str, ...], stats: Stats) -> Data:
    import numpy as np

    from exuno.data.images.folder import FileData, list_classes

    files, labels = list_classes(folder, classes)
    return FileData(name, folder, files, np.array(labels, np.int64), classes, stats)


def _list(name: str, split: str) -> tuple[str, ...]:
    if split not in PARTS:
        raise ExunoError(f"{name} has no split '{split}'", "Its splits are train, val and test.")
    return class_lists(name)[split]
