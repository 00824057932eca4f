"""Which class of a model a label of a data set means: by its name, or by its number."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from exuno.data.classes import FILE, numbers
from exuno.data.subset import abbreviated
from exuno.engine.errors import ExunoError
from exuno.engine.options import ClassOrder

WNID = re.compile(r"n\d{8}")
"""A class of ImageNet by its number in WordNet."""


class OtherClasses(ExunoError):
    """The classes of a model and of data, or of two data sets, are not the same."""


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
        OtherClasses: classes that are not the same.
        ExunoError: data without labels, or without the names that are to be matched.
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
    """Raises OtherClasses where the names of one side stand in the order of the alphabet, which says nothing about the
    numbers or wnids of the other."""
    assert named.names is not None
    assert counted.names is not None
    names = [*named.names]
    if any(forms == sorted(forms) for forms in (names, [plain(name) for name in names])):
        raise OtherClasses(
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
        raise OtherClasses(
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


def _different(model: Side, data: Side) -> OtherClasses:
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
    return OtherClasses(told, todo)
