"""Classes by name: their order, which class of a model a label means, and data labelled in a model's numbers."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from exuno.data.base import Data, Images, Positions
from exuno.data.subset import abbreviated
from exuno.engine.documents import read_text
from exuno.engine.errors import ExunoError, tell
from exuno.engine.options import ClassOrder

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


WNID = re.compile(r"n\d{8}")
"""A class of ImageNet by its number in WordNet."""


@dataclass(frozen=True)
class Side:
    """The classes of a model or a data set."""

    what: str
    """For messages, such as "the teacher (exuno:resnet20)"."""
    count: int
    names: tuple[str, ...] | None
    """In the order of the labels, or of the logits; None where they have none."""


@dataclass(frozen=True)
class Match:
    """What labels mean."""

    table: tuple[int, ...]
    """Number of the model's class of each label of the data."""
    told: str = ""
    """A sentence, where labels are not simply the numbers of the model's classes."""


def match(model: Side, data: Side, order: ClassOrder = "auto") -> Match:
    """The class of a model that each label of the data means.

    By ``auto``: classes that have names on both sides are the same where the names are, or where they are but for what
    :func:`plain` takes for the same; all of the data's must be among the model's. Names that are numbers, all from 0 to
    C - 1 in whatever order, stand for the number where the other side has names of another kind or none; where one
    side alone has ImageNet's wnids, labels are numbers, and also where a side has no names. Not so where the other
    names merely stand in the order of the alphabet, as folders do, beside wnids or classes of a model that are numbers:
    that order says nothing about theirs. ``by-name`` compares names alone. ``by-number`` takes labels as they are, also
    where the data have fewer classes and no names for them, or, of data with fewer classes than the model, the numbers
    that are the names of these.

    Raises:
        ExunoError: classes that are not the same.
    """
    if model.count and not data.count:
        raise ExunoError(
            f"{data.what} has no labels", "Give labelled data, such as PATH/CLASS/IMAGE; exuno predict needs none."
        )
    if order == "by-number":
        return _by_number(model, data)
    if order == "by-name" and None in (model.names, data.names):
        bare = model if model.names is None else data
        raise ExunoError(f"{bare.what} has no names of its classes", "Leave out --classes by-name.")
    if data.names is None or model.names is None:
        _check_count(model, data)
        if data.names is None and model.names is not None and (placed := _positions(model.names)):
            return _said(model, data, placed, f"classes of {model.what} are numbers, as the labels of {data.what} are")
        return Match(tuple(range(data.count)))
    table = by_name(model.names, data.names)
    if table is not None:
        if data.count < model.count:
            told = f"{data.what} has {data.count} of the {model.count} classes of {model.what}, matched by name"
            return Match(table, f"{told}: {_pairs(model, data, table)}")
        return _said(model, data, table, f"classes of {data.what} are matched by name with those of {model.what}")
    if order == "auto" and data.count == model.count and None in (numbers(data.names), numbers(model.names)):
        why = "; --classes by-name refuses this"
        if numbered := numbers(data.names) if _positions(data.names) else None:
            told = f"classes of {data.what} are numbers and mean those of the classes of {model.what}"
            return Match(tuple(numbered), f"{told}: {_pairs(model, data, numbered)}{why}")
        if placed := _positions(model.names):
            _check_ordered(data, model, "numbers")
            told = f"classes of {model.what} are numbers and mean the labels of {data.what}"
            return Match(placed, f"{told}: {_pairs(model, data, placed)}{why}")
        if _wnids(data.names) != _wnids(model.names):
            _check_ordered(*((model, data) if _wnids(data.names) else (data, model)), "wnids")
            who = data.what if _wnids(data.names) else model.what
            told = f"only {who} names its classes by wnid, so labels are numbers"
            same = tuple(range(data.count))
            return Match(same, f"{told}: {_pairs(model, data, same)}{why}")
    raise _different(model, data)


def by_name(known: Sequence[str], names: Sequence[str]) -> tuple[int, ...] | None:
    """The place of each name among the known ones; None if one is not there, or stands there twice."""
    if tuple(known) == tuple(names):
        return tuple(range(len(names)))  # also with a name that two classes share
    found = None
    for form in (str, plain):
        found = found or _places(known, names, form)
    return found


def _places(known: Sequence[str], names: Sequence[str], form: Callable[[str], str]) -> tuple[int, ...] | None:
    forms, wanted = [form(name) for name in known], [form(name) for name in names]
    twice = {name for name, number in Counter(forms).items() if number > 1}
    if len(set(wanted)) < len(wanted) or not set(wanted) <= set(forms) - twice:
        return None
    place = {name: number for number, name in enumerate(forms)}
    return tuple(place[name] for name in wanted)


WORDS = {
    word: str(number)
    for number, word in enumerate(("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"))
}
"""Digits as folders of spoken or written ones are called."""


def plain(name: str) -> str:
    """A name without what writers of lists differ in: case, spaces, hyphens, underscores, zeros before a number, and
    whether a digit is a word."""
    parted = re.sub(r"(?<=\d)[\s_-]+(?=\d)", "/", name.casefold())  # 1-0 is not 10
    bare = re.sub(r"[\s_-]+", "", parted)
    return str(int(bare)) if numbers([bare]) else WORDS.get(bare, bare)


def _positions(names: Sequence[str]) -> tuple[int, ...] | None:
    """Of names that are the numbers 0..C-1: where each of them stands."""
    found = numbers(names)
    if found is None or sorted(found) != list(range(len(found))):
        return None
    return tuple(found.index(number) for number in range(len(found)))


def _wnids(names: Sequence[str]) -> bool:
    return all(WNID.fullmatch(name) for name in names)


def _check_ordered(named: Side, counted: Side, by: str) -> None:
    """Raises ExunoError where the names of one side stand in the order of the alphabet, which says nothing about the
    numbers or wnids of the other."""
    assert named.names is not None
    assert counted.names is not None
    names = [*named.names]
    if any(forms == sorted(forms) for forms in (names, [plain(name) for name in names])):
        raise ExunoError(
            f"the classes of {named.what} are {abbreviated(named.names)}, in the order of the alphabet, and those of "
            f"{counted.what} are {by} ({abbreviated(counted.names, 3)}): which is which is not known",
            "If label 0 is the first class, and so on, give --classes by-number; else give the data the model's names, "
            f"or its order (of folders by a {FILE} there, one folder a line).",
        )


def _by_number(model: Side, data: Side) -> Match:
    numbered = numbers(data.names or ())
    if data.count < model.count and numbered and max(numbered) < model.count:
        told = f"classes of {data.what} are taken by number for those of {model.what}"
        return Match(tuple(numbered), f"{told}: {_pairs(model, data, numbered)}")
    if data.names is None and data.count < model.count:
        told = f"labels of {data.what} are taken for the numbers of classes of {model.what}"
        return Match(tuple(range(data.count)), f"{told}, of which the last {model.count - data.count} are not there")
    _check_count(model, data)
    return Match(tuple(range(data.count)))


def _said(model: Side, data: Side, table: tuple[int, ...], told: str) -> Match:
    """A match, told unless labels are the numbers of the model's classes."""
    if table == tuple(range(len(table))):
        return Match(table)
    pairs = _pairs(model, data, table)
    return Match(table, f"{told}, whose order is another: {pairs}; --classes by-number takes labels as they are")


def _pairs(model: Side, data: Side, table: Sequence[int], shown: int = 3) -> str:
    """``label 0 (cat) is class 2 (Cat)``: the first labels that are not the number of their class, else the first."""
    moved = [label for label, number in enumerate(table) if label != number] or list(range(len(table)))

    def one(word: str, side: Side, number: int) -> str:
        return f"{word} {number}" + (f" ({side.names[number]})" if side.names else "")

    told = [f"{one('label', data, label)} is {one('class', model, table[label])}" for label in moved[:shown]]
    return ", ".join(told) + (", …" if len(moved) > shown else "")


def _check_count(model: Side, data: Side) -> None:
    if model.count != data.count:
        raise ExunoError(
            f"{model.what} has {model.count} classes but {data.what} has {data.count}",
            f"Give a model trained for these classes, or the data it was trained for{_way_out(model, data)}.",
        )


def _way_out(model: Side, data: Side) -> str:
    """The flag that takes classes by number, where that can be done."""
    numbered = numbers(data.names or ())
    if numbered and data.count < model.count and max(numbered) < model.count:
        return "; --classes by-number takes the names of its classes, which are numbers, for those of the model's"
    if data.names is None and data.count < model.count:
        return "; if only its last classes have no image, --classes by-number takes its labels as they are"
    if model.count != data.count:
        return ""
    return "; --classes by-number compares no names and takes label 0 for the first class, and so on"


def _different(model: Side, data: Side) -> ExunoError:
    assert model.names is not None
    assert data.names is not None
    known = set(map(plain, model.names))
    new = [name for name in data.names if plain(name) not in known]
    counts = "" if model.count == data.count else f" has {model.count} classes but {data.what} has {data.count}:"
    told = f"{model.what}{counts or ' and ' + data.what + ' have different classes:'} {abbreviated(model.names)}"
    told += f"; and {abbreviated(data.names)}"
    if new and new[:5] != list(data.names[:5]):
        told += f" ({abbreviated(new)} only in the second)"
    todo = f"Give a model trained for these classes, or the data it was trained for{_way_out(model, data)}."
    return ExunoError(told, todo)


class Relabelled(Data):
    """The samples of a data set with other labels; all else is as it was.

    Args:
        data: the samples.
        table: the new label of each old one.
        classes: names of the new classes, if known.
        num_classes: their number.
    """

    def __init__(self, data: Data, table: Sequence[int], classes: tuple[str, ...] | None, num_classes: int) -> None:
        self.data, self.table = data, torch.tensor(list(table), dtype=torch.int64)
        self.classes, self.num_classes, self.name = classes, num_classes, data.name
        self.image_size, self.resize, self.channels = data.image_size, data.resize, data.channels
        self.whitening = data.whitening
        self.frames, self.rate, self.groups, self.episodes = data.frames, data.rate, data.groups, data.episodes
        labels = getattr(data, "labels", None)
        if isinstance(labels, Tensor):
            self.labels = self.new(labels)

    def __getattr__(self, name: str) -> tuple[float, ...]:
        """Mean and std, which data may find only when they are asked for."""
        if name not in ("mean", "std") or "data" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__} has no {name}")
        return getattr(self.data, name)

    def __len__(self) -> int:
        return len(self.data)

    def new(self, labels: Tensor) -> Tensor:
        """New labels of old ones, int64 [B], -1 staying -1, or of soft ones, float [B, K]."""
        if labels.ndim == 2:
            soft = labels.new_zeros(len(labels), self.num_classes)
            soft[:, self.table] = labels
            return soft
        return torch.where(labels < 0, labels, self.table[labels.clamp(min=0)])

    def fetch(self, positions: Positions) -> tuple[Images, Tensor]:
        images, labels = self.data.fetch(positions)
        return images, self.new(labels)

    def fingerprint(self) -> str:
        """sha256 of that of the samples and of the new labels."""
        return hashlib.sha256(f"{self.data.fingerprint()} {self.table.tolist()}".encode()).hexdigest()

    def content(self) -> str:
        return self.data.content()


class RelabelledRuns(Relabelled):
    """Likewise, of videos, of which training takes random parts."""

    data: Any

    def fetch_runs(self, positions: Positions, draws: Positions, seed: int) -> tuple[Images, Tensor]:
        """Clips at random places of the videos at B positions, and their new labels."""
        images, labels = self.data.fetch_runs(positions, draws, seed)
        return images, self.new(labels)


def relabelled(data: Any, model: Side, order: ClassOrder = "auto") -> Any:
    """``data`` with labels that are the numbers of the classes of ``model``: itself where they are already. What is
    done is told once.

    Raises:
        ExunoError: the data have other classes.
    """
    found = match(model, side_of(data), order)
    if found.told:
        tell(found.told)
    if found.table == tuple(range(model.count)):
        return data
    kind = RelabelledRuns if hasattr(data, "fetch_runs") else Relabelled
    return kind(data, found.table, model.names, model.count)


def of_splits(training: Data, test: Data, order: ClassOrder = "auto") -> ClassOrder:
    """How two splits of one data set are matched. Without names their labels are numbers alike, though the test may
    lack the last classes."""
    return "by-number" if order == "auto" and training.classes is None and test.classes is None else order


def side_of(data: Any) -> Side:
    """The classes of a data set."""
    return Side(data.name, data.num_classes, data.classes)
