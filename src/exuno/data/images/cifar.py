"""CIFAR-10 and CIFAR-100 from their official files, whose pickles are read without being run.

CIFAR-10 and CIFAR-100 (Krizhevsky, 2009) from their official files, which are pickles, without running what is in
them.

The files of CIFAR-10 and CIFAR-100 are such. Only the instructions that those need are obeyed, on a stack of our own:
nothing is imported, no constructor is called, and whatever else stands in a file is refused. So a crafted file can
neither run code nor build an object that NumPy trips over.
"""

import pickletools
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exuno.data.base import ArrayData
from exuno.data.constants import CIFAR, Stats
from exuno.data.labels import count_classes
from exuno.engine.errors import ExunoError
from exuno.engine.untrusted import Limit, TarMember, read_at_most, refuse_stream

MOST_ITEMS = 10_000_000
"""Instructions of a file; CIFAR's largest has 200,000."""
DEEPEST = 4
"""Lists within lists; CIFAR has a dict of lists."""

_LITERALS = {"BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "NONE", "NEWTRUE", "NEWFALSE"}
_BYTES = {"SHORT_BINBYTES", "BINBYTES", "BINBYTES8"}
_STRINGS = {"SHORT_BINSTRING", "BINSTRING"}  # of Python 2
_TEXTS = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_IGNORED = {"PROTO", "FRAME"}
_PUT = {"PUT", "BINPUT", "LONG_BINPUT"}
_GET = {"GET", "BINGET", "LONG_BINGET"}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_TYPES = frozenset(("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"))


class NotPlain(Exception):
    """The file holds something else, or is damaged."""


@dataclass
class _Name:
    """A function or class that the file names; never looked up."""

    name: str


@dataclass
class _Type:
    """A NumPy type: letter and bytes, and the order of the bytes."""

    code: str
    order: str = "|"


@dataclass
class _Array:
    """A NumPy array, empty until its state follows."""

    content: np.ndarray | None = None


class _Mark:
    """Where the items of a list, dict or tuple begin."""


def loads(content: bytes) -> Any:
    """What a pickle holds; strings of Python 2 as bytes, arrays as new NumPy arrays.

    Raises:
        NotPlain: it holds anything but dicts, lists, tuples, whole numbers, strings and arrays of integers.
    """
    try:
        return _finished(_run(content), {})
    except NotPlain:
        raise
    except Exception as error:  # damaged: pickletools and the stack stumble over whatever they meet
        raise NotPlain(f"it is damaged ({type(error).__name__}: {error})") from error


def _run(content: bytes) -> Any:
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    value: Any
    for count, (code, value, _) in enumerate(pickletools.genops(content)):
        name = code.name
        if count > MOST_ITEMS:
            raise NotPlain(f"it has more than {MOST_ITEMS:,} instructions")
        if name in _LITERALS:
            stack.append(_CONSTANTS.get(name, value))
        elif name in _BYTES or name in _TEXTS:
            stack.append(value)
        elif name in _STRINGS:
            stack.append(value.encode("latin1"))
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == "MARK":
            stack.append(_Mark())
        elif name in _PUT:
            memo[value] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in _GET:
            stack.append(memo[value])
        elif name == "APPEND":
            item = stack.pop()
            _of(stack[-1], list).append(item)
        elif name == "APPENDS":
            items = _since_mark(stack)
            _of(stack[-1], list).extend(items)
        elif name == "SETITEM":
            item, key = stack.pop(), stack.pop()
            _of(stack[-1], dict)[key] = item
        elif name == "SETITEMS":
            items = _since_mark(stack)
            _of(stack[-1], dict).update(zip(items[::2], items[1::2], strict=True))
        elif name == "TUPLE":
            stack.append(tuple(_since_mark(stack)))
        elif name in _TUPLES:
            items = [stack.pop() for _ in range(_TUPLES[name])]
            stack.append(tuple(reversed(items)))
        elif name == "GLOBAL":
            stack.append(_known(value.replace(" ", ".")))
        elif name == "STACK_GLOBAL":
            what, module = stack.pop(), stack.pop()
            stack.append(_known(f"{module}.{what}"))
        elif name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(_called(_of(function, _Name).name, _of(arguments, tuple)))
        elif name == "BUILD":
            state = stack.pop()
            _set_state(stack[-1], _of(state, tuple))
        elif name == "STOP":
            return stack.pop()
        elif name not in _IGNORED:
            raise NotPlain(f"it holds the instruction {name}, which no file of CIFAR has")
    raise NotPlain("it has no end")


def _known(name: str) -> _Name:
    for end in ("multiarray._reconstruct", "numpy.ndarray", "numpy.dtype", "_codecs.encode"):
        if name == end or name in (f"numpy.core.{end}", f"numpy._core.{end}"):
            return _Name(end)
    raise NotPlain(f"it holds {name}, which is no array")


def _called(function: str, arguments: tuple) -> Any:
    """What a call that NumPy's own pickles contain stands for."""
    if function == "multiarray._reconstruct":
        return _Array()
    if function == "numpy.dtype":
        code = arguments[0].decode() if isinstance(arguments[0], bytes) else arguments[0]
        if code not in _TYPES:
            raise NotPlain(f"it holds an array of the type {str(code)[:40]!r}, not of integers")
        return _Type(code)
    text, encoding = arguments
    if function != "_codecs.encode" or encoding not in ("latin1", b"latin1"):
        raise NotPlain(f"it calls {function} in a way that no file of CIFAR does")
    return text.encode("latin1")


def _set_state(target: Any, state: tuple) -> None:
    """The state of an array or of a type, as NumPy writes it; of everything else there is none."""
    if isinstance(target, _Type):
        _, order, fields, names, shapes, *_ = state
        order = order.decode() if isinstance(order, bytes) else order
        if order not in ("|", "<", ">") or (fields, names, shapes) != (None, None, None):
            raise NotPlain("it holds a type with fields")
        target.order = order
    elif isinstance(target, _Array):
        _, shape, kind, column_first, content = state
        order = "F" if column_first is True else "C"
        plain = np.dtype(_of(kind, _Type).order + kind.code)
        target.content = np.frombuffer(_of(content, bytes), plain).reshape(shape, order=order).copy(order)
    else:
        raise NotPlain("it sets the state of something that is no array")


def _since_mark(stack: list[Any]) -> list[Any]:
    items = []
    while not isinstance(item := stack.pop(), _Mark):
        items.append(item)
    return items[::-1]


def _of(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise NotPlain(f"it is damaged (a {type(value).__name__} where a {kind.__name__.strip('_').lower()} belongs)")
    return value


def _finished(value: Any, done: dict[int, Any], depth: int = 0) -> Any:
    """The arrays in place of what stood for them. ``done`` keeps what several places share from being built anew."""
    if depth > DEEPEST:
        raise NotPlain("it is nested too deeply, or in itself")
    if id(value) in done:
        return done[id(value)]
    if isinstance(value, _Name | _Type | _Mark):
        raise NotPlain("it is damaged (a name where a value belongs)")
    if isinstance(value, _Array):
        if value.content is None:
            raise NotPlain("it holds an array without content")
        found: Any = value.content
    elif isinstance(value, dict):
        found = {_finished(key, done, depth + 1): _finished(item, done, depth + 1) for key, item in value.items()}
    elif isinstance(value, list | tuple):
        found = type(value)(_finished(item, done, depth + 1) for item in value)
    else:
        return value
    done[id(value)] = found
    return found


FILES = {
    "cifar10": {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"], "meta": ["batches.meta"]},
    "cifar100": {"train": ["train"], "test": ["test"], "meta": ["meta"]},
}
FOLDER = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
MOST = Limit("EXUNO_MAX_BYTES", 2**30, "bytes")
"""Of one of the files; the largest has 155 million."""
ARCHIVE = {"cifar10": "cifar-10-python.tar.gz", "cifar100": "cifar-100-python.tar.gz"}


def has_cifar(name: str, root: Path) -> bool:
    """Whether ``root`` holds the official folder or archive of ``name``."""
    return any((root / part).exists() for part in (FOLDER[name], ARCHIVE[name]))


def open_cifar(name: str, split: str, root: Path, stats: Stats = CIFAR) -> ArrayData:
    """One split from ``root/cifar-10-batches-py`` (``cifar-100-python``) or the .tar.gz of it, as published.

    Args:
        name: ``cifar10`` or ``cifar100``.
        split: ``train`` or ``test``.
        root: the folder.
        stats: mean and std of each channel.

    Raises:
        ExunoError: for an unknown split, and for missing or broken files.
    """
    if split not in ("train", "test"):
        raise ExunoError(f"{name} has no split '{split}'", "Its splits are train and test.")
    batches = [_read(name, file, root) for file in FILES[name][split]]
    (meta,) = [_read(name, file, root) for file in FILES[name]["meta"]]
    label_key, names_key = (b"labels", b"label_names") if name == "cifar10" else (b"fine_labels", b"fine_label_names")
    try:
        images: NDArray[np.uint8] = np.concatenate([batch[b"data"] for batch in batches]).reshape(-1, 3, 32, 32)
        labels = np.concatenate([_numbers(batch[label_key]) for batch in batches])
        classes = tuple(text.decode() for text in meta[names_key])
        if images.dtype != np.uint8 or labels.shape != (len(images),) or not classes:
            raise ValueError(f"{images.dtype} images {list(images.shape)}, labels {list(labels.shape)}")
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
            raise ValueError(f"labels {labels.min()} to {labels.max()} of {len(classes)} classes")
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError, IndexError) as error:
        raise ExunoError(f"the files of {name} in {root} have other content: {error}", "Fetch them again.") from error
    count_classes(labels, classes, f"{name} in {root}")
    return ArrayData(f"{name}/{split}", images, labels, classes, stats=stats)


def _numbers(labels: Any) -> NDArray[np.int64]:
    if not isinstance(labels, np.ndarray) and not all(type(label) is int for label in labels):
        raise ValueError("a label that is no whole number")
    return np.asarray(labels, np.int64)


def _read(name: str, file: str, root: Path) -> dict[bytes, Any]:
    path = root / FOLDER[name] / file
    try:
        if path.exists():
            refuse_stream(path)
            with path.open("rb") as plain:
                content = read_at_most(plain, MOST, str(path))
        else:
            path = root / ARCHIVE[name]
            refuse_stream(path)
            with tarfile.open(path, tarinfo=TarMember) as tar:
                member = tar.extractfile(f"{FOLDER[name]}/{file}")
                content = read_at_most(member, MOST, f"{file} in {path}") if member else b""
        return loads(content)
    except (OSError, tarfile.TarError, KeyError, EOFError, NotPlain, ValueError, RecursionError, zlib.error) as error:
        raise ExunoError(f"{path} of {name} ({file}) cannot be read: {error}", "Fetch it again.") from error
