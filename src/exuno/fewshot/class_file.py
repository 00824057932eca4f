"""``--split FILE.csv``: which class, or which file, is in which part."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exuno.data.deep import split_bits, tell_depth
from exuno.data.files import FileData
from exuno.engine.documents import read_text
from exuno.engine.errors import ExunoError

PARTS = ("train", "val", "test")


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
