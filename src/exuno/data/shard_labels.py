"""The label of a sample in a WebDataset shard: which member of it holds one, and what it says."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from exuno.engine.arrays import read_npy

CALLED = ("cls", "label", "class", "target")
"""What a member that holds the label is called: ``KEY.cls``, ``KEY.cls.npy``, ``KEY.label.txt``, …"""
MAYBE = ("json", "txt", "npy")
"""Kinds of members that hold the label or something else, a caption for instance; the first that does is taken."""
FIELDS = (
    "label",
    "cls",
    "class",
    "target",
    "class_id",
    "class_index",
    "class_idx",
    "label_id",
    "category_id",
    "category",
    "y",
)
"""Of a JSON object, where a label is looked for, in this order; numbers before names."""
PICKLES = ("pyd", "pickle", "pkl", "pth", "pt")
FORMS = "A label is a whole number from 0, or a name in the classes.txt beside the shards"
MOST = 2**16
"""Bytes of a member beyond which it holds something else."""


def is_label(extension: str) -> bool:
    """Whether a member with this extension (in lower case, without the first dot) must hold the label."""
    called, _, kind = extension.partition(".")
    return called in CALLED and kind in ("", *MAYBE, *PICKLES)


def choose(extensions: Collection[str]) -> list[str]:
    """The extensions of members that may hold the labels of all samples, the surest first."""
    sure = sorted(filter(is_label, extensions), key=lambda each: (CALLED.index(each.split(".")[0]), each))
    return sure or [each for each in MAYBE if each in extensions]


class NoLabel(Exception):
    """What a member holds is no label, though it may have been ``meant`` for one."""

    meant = False


def parse(content: bytes | None, extension: str, names: Mapping[str, int]) -> int:
    """The label in a member.

    Args:
        content: of the member; None for one of more than ``MOST`` bytes.
        extension: of its name.
        names: of the classes, with their numbers.

    Raises:
        NoLabel: it holds something else, which the exception tells.
    """
    kind = extension.rpartition(".")[2]
    if content is None:
        raise NoLabel(f"longer than {MOST:,} bytes")
    if kind in PICKLES:
        raise NoLabel("a pickle, which could run code and is not read")
    if kind == "npy":
        return _number(_array(content), names)
    try:
        text = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise NoLabel("bytes that are no text") from None
    if kind != "json":
        return _number(text, names)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise NoLabel("no JSON") from None
    if not isinstance(value, dict):
        return _number(value, names)
    known = {name.lower(): each for name, each in value.items()}
    found = [known[name] for name in FIELDS if known.get(name) is not None]
    if not found:
        raise NoLabel(f"an object without a field {', '.join(FIELDS[:4])}, …")
    try:
        return _number(next((each for each in found if _whole(each) is not None), found[0]), names)
    except NoLabel as error:
        error.meant = any(known.get(name) is not None for name in CALLED)
        raise


def _array(content: bytes) -> Any:
    try:
        array = read_npy(content)
    except Exception:  # NumPy raises ValueError, EOFError, SyntaxError, … for a damaged header
        raise NoLabel("no array of NumPy") from None
    if array.size != 1 or array.dtype.kind not in "iufU":
        raise NoLabel(f"an array {array.dtype} {list(array.shape)}")
    return array.item()


def _number(value: Any, names: Mapping[str, int]) -> int:
    number = _whole(value)
    if number is None and isinstance(value, str):
        number = names.get(value)
    if number is None:
        raise NoLabel("empty" if value in ("", None) else f"'{str(value)[:40]}'")
    if number < 0:
        raise NoLabel(f"{number}")
    return number


def _whole(value: Any) -> int | None:
    """A whole number, also one that is written as 3.0 or "3"."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return int(value) if isinstance(value, int) else int(number) if (number := float(value)).is_integer() else None
    except (ValueError, OverflowError):
        return None
