"""Which classes are trained on, which choose, and which are new: ``--split``, also of a CSV file."""

import csv
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from exuno.data import rng
from exuno.data.base import Data
from exuno.data.images.deep import split_bits, tell_depth
from exuno.data.images.folder import SUFFIXES, FileData
from exuno.data.named.fewshot import FEWSHOT
from exuno.data.named.omniglot import RUNS
from exuno.data.open import lacks_split, open_data, same_samples
from exuno.data.subset import abbreviated, choose, present
from exuno.engine.documents import read_text
from exuno.engine.errors import ExunoError
from exuno.fewshot.options import Classes

Part = Literal["train", "val", "test"]
Split = dict[str, tuple[str, ...]]
"""Part -> names of its classes; () for a val that does not exist."""

PARTS: tuple[Part, ...] = ("train", "val", "test")
VAL, TEST = 0.16, 0.2
"""Shares of the classes that a draw gives to val and test, as in mini-ImageNet (64, 16 and 20 of 100)."""
ALL = "all"
UPRIGHT, HELD = (0, 2), (1,)
"""Quarter turns that are trained on and held back by ``hold_turns``. The fourth is neither: a 0 and a 1 look
alike after half a turn, so it would show what is held back."""


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
            are. With ``hold_turns`` the training classes lie upright or upside down, and those for val are the same on
            their side.
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
    if classes.hold_turns and part == "val":
        return _held_turn(spec, classes, root, seed)
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
        from exuno.data.named.omniglot import TURNS, TurnedData

        upright = UPRIGHT if classes.hold_turns else range(TURNS)
        return TurnedData(found, upright if classes.turns else (0,), classes.mirrored)
    return found


def _held_turn(spec: str, classes: Classes, root: Path | None, seed: int) -> Data:
    """The training classes on their side, which the training with ``hold_turns`` never sees.

    Raises:
        ExunoError: without ``turns``, which say that a turned class is another one; validation classes are there.
    """
    from exuno.data.named.omniglot import TurnedData

    if not classes.turns:
        raise ExunoError("--hold-turns holds back quarter turns, but --turns is off", "Give --turns, too.")
    plain = replace(classes, turns=False, mirrored=False, hold_turns=False)
    if open_classes(spec, "val", plain, root, seed) is not None:
        raise ExunoError(f"{spec} has validation classes of its own", "Leave out --hold-turns.")
    training = open_classes(spec, "train", plain, root, seed)
    assert training is not None
    return TurnedData(training, HELD)


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
    from exuno.data.named.omniglot import has_evaluation

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
    from exuno.data.images.folder import class_folders, open_folder, split_folders

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
                f"{path} has the classes {abbreviated(both)} for {one} and for {other}",
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
        from exuno.data.images.folder import open_folder

        return open_folder(Path(path), split, own_classes=True)
    return open_data(spec, split, root=root)


def _labelled(data: Data) -> Data:
    from exuno.data.subset import labels_of

    labels_of(data)
    return data


def _listed(spec: str, part: Part, split: str, root: Path | None) -> Data | None:

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
            f"{split} names classes that {spec} has not: {abbreviated(unknown)}",
            f"Its classes are {abbreviated(names, 8)}.",
        )
    chosen = tuple(name for name in names if table.part_of.get(name) == part)
    return choose(f"{spec}/{part}", parents, chosen) if chosen else None


@dataclass(frozen=True)
class ClassFile:
    """What the file says."""

    path: Path
    part_of: dict[str, str]
    """Class -> part."""
    files: tuple[tuple[str, str], ...]
    """File and class of each line; () if the file names classes only."""


def read_class_file(path: Path) -> ClassFile:
    """Read a CSV file with the columns ``class,split`` or ``file,class,split`` (and perhaps others).

    Raises:
        ExunoError: if there is none, columns are missing, a split is unknown, or a class is in two.
    """
    if not path.is_file():
        raise ExunoError(f"there is no file '{path}'", "--split is auto or a CSV file with the columns class,split.")
    try:
        reader = csv.DictReader(io.StringIO(read_text(path), newline=""), skipinitialspace=True)
        columns = reader.fieldnames or ()
        rows = list(reader)
    except csv.Error as error:
        raise ExunoError(f"{path} is not a CSV file: {error}", "Write it with the columns class,split.") from error
    if missing := [column for column in ("class", "split") if column not in columns]:
        raise ExunoError(
            f"{path} has no column {' and no column '.join(missing)}; its first line is {','.join(columns)}",
            "Its first line must be class,split or file,class,split.",
        )
    part_of: dict[str, str] = {}
    files = []
    for number, row in enumerate(rows, 2):
        name, part = (row["class"] or "").strip(), (row["split"] or "").strip()
        if part not in PARTS or not name:
            raise ExunoError(
                f"line {number} of {path} has the class '{name}' and the split '{part}'",
                "Name a class, and train, val or test.",
            )
        if part_of.setdefault(name, part) != part:
            raise ExunoError(
                f"line {number} of {path} puts the class {name} into {part}, an earlier one into {part_of[name]}",
                "A class is in one part only.",
            )
        if "file" in columns:
            files.append(((row["file"] or "").strip(), name))
    if not part_of:
        raise ExunoError(f"{path} names no class", "Add a line for each class.")
    return ClassFile(path, part_of, tuple(files))


def files_of(table: ClassFile, part: str, folder: Path, name: str) -> FileData | None:
    """The files of one part, with paths inside ``folder`` (``PATH@12bit``, too); classes are sorted by name.

    Raises:
        ExunoError: for a file that is not there.
    """
    bare, bits = split_bits(str(folder))
    folder = Path(bare)
    chosen = [(file, label) for file, label in table.files if table.part_of[label] == part]
    lost = next((file for file, _ in chosen if not (folder / file).is_file()), None)
    if lost is not None:
        raise ExunoError(f"{table.path} names '{lost}', which is not in {folder}", "Give paths inside the folder.")
    if not chosen:
        return None
    classes = tuple(sorted({label for _, label in chosen}))
    number = {each: i for i, each in enumerate(classes)}
    labels = np.array([number[label] for _, label in chosen], np.int64)
    data = FileData(f"{name}/{part}", folder, [file for file, _ in chosen], labels, classes, bits=bits)
    tell_depth(f"folder:{folder}", bits, data.files, data.read)
    return data
