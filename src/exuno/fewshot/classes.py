"""Which classes are trained on, which choose, and which are new: ``--split``."""

from pathlib import Path
from typing import Literal

from exuno.data import rng
from exuno.data.base import Data
from exuno.data.deep import split_bits
from exuno.data.fewshot import FEWSHOT
from exuno.data.files import SUFFIXES
from exuno.data.omniglot import RUNS
from exuno.data.open import lacks_split, open_data, same_samples
from exuno.data.subset import choose, present, some
from exuno.engine.errors import ExunoError
from exuno.fewshot.options import Classes

Part = Literal["train", "val", "test"]
Split = dict[str, tuple[str, ...]]
"""Part -> names of its classes; () for a val that does not exist."""

PARTS: tuple[Part, ...] = ("train", "val", "test")
VAL, TEST = 0.16, 0.2
"""Shares of the classes that a draw gives to val and test, as in mini-ImageNet (64, 16 and 20 of 100)."""
ALL = "all"


def open_classes(spec: str, part: Part, classes: Classes, root: Path | None, seed: int) -> Data | None:
    """The images of one part of the classes, labelled 0..C-1.

    ``classes.split`` is ``auto``, ``all`` or a CSV file. By ``auto``, few-shot benchmarks have their published classes;
    ``digits`` 0 to 4 for training and 5 to 9 for the test; a folder whose train, val and test folders share no class
    has these; of every other data set all splits are put together, and 16 % of the classes are drawn for val, 20 % for
    test (of Omniglot without its evaluation set: of the alphabets); the rest is for training. A CSV file has the
    columns ``class,split``, or for a folder ``file,class,split`` with paths inside it; classes that it does not name
    are left out. By ``all``, every class is for training; of Omniglot those of the background set. The runs of Omniglot
    are the same whatever the part.

    Args:
        spec: data spec.
        part: ``train``, ``val`` or ``test``.
        classes: the choice. Its ``turns`` and ``mirrored`` are for the training classes; new ones are measured as they
            are.
        root: folder that holds the benchmark data sets.
        seed: of the draw.

    Returns:
        The data; None only for a ``val`` that does not exist, and by ``all`` for val and test.

    Raises:
        ExunoError: for an unlabelled data set, a part without classes, a val or test of one class, a class in two
            parts, and a CSV file that is broken or names what is not there.
    """
    if spec == RUNS:
        if classes.split != "auto":
            raise ExunoError(f"{spec} is measured as a whole, so --split does not apply", "Leave out --split.")
        return open_data(spec, part, root=root)
    if classes.split == "auto":
        found = _auto(spec, part, root, seed)
    elif classes.split == ALL:
        found = _all(spec, root) if part == "train" else None
    else:
        found = _listed(spec, part, classes.split, root)
    if found is None or len(found) == 0:
        if part == "val" or classes.split == ALL:
            return None
        raise ExunoError(f"{spec} has no classes for {part}", "Choose them by --split, a CSV file with class,split.")
    if found.num_classes < 2 and part != "train":
        raise ExunoError(f"{found.name} has {found.num_classes} class", "Give a test 2 classes or more.")
    if (classes.turns or classes.mirrored) and part == "train":
        from exuno.data.turned import TurnedData

        return TurnedData(found, classes.turns, classes.mirrored)
    return found


def _auto(spec: str, part: Part, root: Path | None, seed: int) -> Data | None:
    if spec in FEWSHOT:
        return open_data(spec, part, root=root)
    if spec == "omniglot":
        return _omniglot(part, root, seed)
    prefix, _, path = spec.partition(":")
    if prefix == "folder" and (apart := _folder_parts(Path(path))) is not None:
        return apart[part]
    parents = _everything(spec, root)
    names = present(parents)
    if spec == "digits":
        split: Split = {"train": names[:5], "val": (), "test": names[5:]}
    else:
        split = drawn(names, seed)
    return choose(f"{spec}/{part}", parents, split[part]) if split[part] else None


def _all(spec: str, root: Path | None) -> Data:
    """All classes but the evaluation set of Omniglot, whose runs are for the test."""
    parents = [open_data(spec, "train", root=root)] if spec == "omniglot" else _everything(spec, root)
    return choose(f"{spec}/all", parents, present(parents))


def _omniglot(part: Part, root: Path | None, seed: int) -> Data | None:
    """Background and evaluation set; without the latter, whole alphabets of the former, so that new characters are of
    unseen alphabets in either case."""
    from exuno.data.omniglot import has_evaluation

    if root is not None and has_evaluation(root):
        return None if part == "val" else open_data("omniglot", part, root=root)
    data = open_data("omniglot", "train", root=root)
    names = present([data])
    alphabets = tuple(dict.fromkeys(name.partition("/")[0] for name in names))
    chosen = drawn(alphabets, seed)[part]
    classes = tuple(name for name in names if name.partition("/")[0] in chosen)
    return choose(f"omniglot/{part}", [data], classes) if classes else None


def drawn(names: tuple[str, ...], seed: int) -> Split:
    """16 % of the names for val (none, if that would be one), 20 % for test and at least two, the rest for training.

    The draw is a function of the seed and the number of names; each part keeps their order.

    Raises:
        ExunoError: for fewer than 3 names.
    """
    if len(names) < 3:
        raise ExunoError(f"{len(names)} classes cannot be split", "Give data with 3 classes or more.")
    val, test = round(VAL * len(names)), max(2, round(TEST * len(names)))
    val = val if val > 1 else 0
    order = rng.generator(seed, "classes").permutation(len(names)).tolist()
    parts = {"test": order[:test], "val": order[test : test + val], "train": order[test + val :]}
    return {part: tuple(names[i] for i in sorted(parts[part])) for part in PARTS}


def _folder_parts(path: Path) -> dict[Part, Data | None] | None:
    """The parts of a folder whose split folders share no class; None if it has no such folders, or all have the classes
    of train."""
    from exuno.data.folder import class_folders, open_folder, split_folders

    folders = split_folders(Path(split_bits(str(path))[0]))
    if "train" not in folders or len(folders) < 2:
        return None
    names = {part: set(class_folders(folder, SUFFIXES)) for part, folder in folders.items()}
    new = {part: names[part] - names["train"] for part in folders if part != "train"}
    if not any(new.values()):
        return None
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        if both := sorted(names.get(one, set()) & names.get(other, set())):
            raise ExunoError(
                f"{path} has the classes {some(both)} for {one} and for {other}",
                "Give each part classes of its own, or say by --split, a CSV file, which class is in which.",
            )
    return {part: open_folder(path, part, own_classes=True) if part in folders else None for part in PARTS}


def _everything(spec: str, root: Path | None) -> list[Data]:
    """All splits of a data set, each once."""
    found = [_labelled(_open(spec, "train", root))]
    for split in ("val", "test"):
        try:
            data = _open(spec, split, root)
        except ExunoError as error:
            if lacks_split(error, split):
                continue
            raise
        if not any(same_samples(data, other) for other in found):
            found.append(_named_alike(_labelled(data), found[0]))
    return found


def _named_alike(data: Data, first: Data) -> Data:
    """A part of a data set with the names of the first part for its classes, where only one of the two has names: else
    label 0 of one and the class that it is of the other would be two classes."""
    if (data.classes is None) == (first.classes is None) or data.num_classes != first.num_classes:
        return data
    from exuno.data.relabelled import Relabelled

    return Relabelled(data, range(data.num_classes), first.classes, first.num_classes)


def _open(spec: str, split: str, root: Path | None) -> Data:
    prefix, _, path = spec.partition(":")
    if prefix == "folder":
        from exuno.data.folder import open_folder

        return open_folder(Path(path), split, own_classes=True)
    return open_data(spec, split, root=root)


def _labelled(data: Data) -> Data:
    from exuno.data.subset import labels_of

    labels_of(data)
    return data


def _listed(spec: str, part: Part, split: str, root: Path | None) -> Data | None:
    from exuno.fewshot.class_file import files_of, read_class_file

    table = read_class_file(Path(split))
    if table.files:
        prefix, _, path = spec.partition(":")
        if prefix != "folder":
            raise ExunoError(f"{split} names single files, but {spec} is no folder", "Give folder:PATH as data.")
        return files_of(table, part, Path(path), spec)
    parents = _everything(spec, root)
    names = present(parents)
    if unknown := sorted(set(table.part_of) - set(names)):
        raise ExunoError(
            f"{split} names classes that {spec} has not: {some(unknown)}", f"Its classes are {some(names, 8)}."
        )
    chosen = tuple(name for name in names if table.part_of.get(name) == part)
    return choose(f"{spec}/{part}", parents, chosen) if chosen else None
