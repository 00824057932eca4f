"""The few-shot benchmarks: classes of CIFAR-100 and of ImageNet in published lists of train, val and test classes."""

from functools import cache
from importlib.resources import files
from pathlib import Path

from exuno.data.base import Data
from exuno.data.constants import CIFAR_FEWSHOT, IMAGENET
from exuno.data.subset import choose, names_of, some
from exuno.engine.errors import ExunoError

FEWSHOT = ("cifar-fs", "fc100", "mini-imagenet", "tiered-imagenet")
PARTS = ("train", "val", "test")

Groups = dict[str, tuple[str, ...]]


@cache
def class_groups(name: str) -> dict[str, Groups]:
    """Part (train, val, test) -> group -> classes of a benchmark; a benchmark without groups has one, named ''.

    Groups are superclasses of CIFAR-100 (FC100) or the wnids of categories (tieredImageNet).
    """
    found: dict[str, Groups] = {part: {} for part in PARTS}
    for line in (files("exuno.data") / "classes" / f"{name}.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            head, _, names = line.partition(":")
            part, _, group = head.partition(" ")
            found[part][group] = tuple(names.split())
    return found


def class_lists(name: str) -> dict[str, tuple[str, ...]]:
    """Part (train, val, test) -> sorted names of its classes."""
    groups = class_groups(name)
    return {part: tuple(sorted(each for names in groups[part].values() for each in names)) for part in PARTS}


def open_cifar_part(name: str, root: Path, split: str) -> Data:
    """CIFAR-FS or FC100: the training and test images (600 a class) of the classes of a part.

    Args:
        name: ``cifar-fs`` or ``fc100``.
        root: folder that holds CIFAR-100.
        split: ``train``, ``val`` or ``test``.

    Raises:
        ExunoError: for another split, and if CIFAR-100 is not there or its classes have other names.
    """
    from exuno.data.benchmarks import open_benchmark

    wanted = _list(name, split)
    parents = [open_benchmark("cifar100", part, root) for part in ("train", "test")]
    if lacking := sorted(set(wanted) - set(names_of(parents[0]))):
        raise ExunoError(
            f"the CIFAR-100 in {root} does not name the classes {some(lacking)}",
            "Use the official files, or name the classes as they do.",
        )
    return choose(f"{name}/{split}", parents, wanted, CIFAR_FEWSHOT)


def open_imagenet_part(name: str, root: Path, split: str) -> Data:
    """mini-ImageNet or tieredImageNet from folders, one for each class.

    Args:
        name: ``mini-imagenet`` or ``tiered-imagenet``.
        root: folder that holds ``NAME/train``, ``NAME/val`` and ``NAME/test`` (with as many classes as published, of
            whatever names), or all classes together in ``NAME/WNID``, ``imagenet/train/WNID`` or ``train/WNID``. From
            ImageNet itself all images of a class are taken, not the 600 that were drawn for mini-ImageNet.
        split: ``train``, ``val`` or ``test``.

    Raises:
        ExunoError: for another split, and if classes are missing.
    """
    import numpy as np

    from exuno.data.files import FileData
    from exuno.data.folder import class_folders, list_classes

    wanted = _list(name, split)
    if (root / name / "train").is_dir():
        folder = root / name / split
        names = class_folders(folder) if folder.is_dir() else ()
        if len(names) != len(wanted):
            raise ExunoError(
                f"{folder} has {len(names)} class folders, {split} of {name} has {len(wanted)}",
                "Unpack it completely, or use folder:PATH for other classes.",
            )
    else:
        places = (root / name, root / "imagenet/train", root / "ILSVRC/Data/CLS-LOC/train", root / "train")
        there = [place for place in places if place.is_dir()]
        folder = next((place for place in there if (place / wanted[0]).is_dir()), None)
        if folder is None:
            raise ExunoError(
                f"{name} is not in {root}", f"--data-root must hold {name}/train/WNID/… or imagenet/train/WNID/…."
            )
        if lacking := sorted(set(wanted) - set(class_folders(folder))):
            raise ExunoError(f"{folder} has no folder {some(lacking)}", "Unpack it completely.")
        names = wanted
    found, labels = list_classes(folder, names)
    return FileData(f"{name}/{split}", folder, found, np.array(labels, np.int64), names, IMAGENET)


def _list(name: str, split: str) -> tuple[str, ...]:
    if split not in PARTS:
        raise ExunoError(f"{name} has no split '{split}'", "Its splits are train, val and test.")
    return class_lists(name)[split]
