"""JSON and YAML files that somebody else may have written: read up to a size, as plain values of the expected kind. No
torch."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from exuno.engine.errors import ExunoError
from exuno.engine.untrusted import SMALL, UNPACKED, Limit, refuse_stream

DEEPEST = 100
"""Levels of a document: what goes through one calls itself several times a level, of a thousand times in all."""
MOST_NODES = 1_000_000
"""Values of a YAML document with its aliases written out."""


def read_bytes(path: Path, limit: Limit = UNPACKED) -> bytes:
    """The content of a file.

    Raises:
        ExunoError: it is not there, a pipe or device (which may give nothing for ever, or bytes without end), or larger
            than the limit.
    """
    try:
        refuse_stream(path)
        limit.check(path.stat().st_size, str(path))
        with path.open("rb", buffering=0) as file:
            return file.readall()
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ExunoError(f"'{path}' cannot be read: {why}", "Check that it is there, and its rights.") from None


def read_text(path: Path, *, todo: str = "Save it as UTF-8.") -> str:
    """The text of a UTF-8 file, without the mark that some editors put before it.

    Raises:
        ExunoError: it is not there, not UTF-8, larger than ``EXUNO_MAX_TEXT``, or what a download left in its place: a
            pointer of Git LFS, a web page.
    """
    try:
        text = read_bytes(path, SMALL).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ExunoError(f"{path} is damaged: it is not UTF-8 ({error})", todo) from None
    if "\0" in text:  # UTF-16 of plain letters is UTF-8 with these between them
        raise ExunoError(f"{path} is damaged: it holds zero bytes, which no UTF-8 text does", todo)
    if text.startswith("version https://git-lfs"):
        raise ExunoError(f"{path} is a pointer of Git LFS, not the file itself", "Fetch it: git lfs pull.")
    if text[:200].lstrip().lower().startswith(("<!doctype html", "<html")):
        raise ExunoError(f"{path} is a web page", "Fetch the file that the page offers.")
    return text


def read_json(path: Path, *, todo: str = "Copy or write it again.") -> dict[str, Any]:
    """The object in a JSON file.

    Args:
        path: the file.
        todo: what to do if it is damaged.

    Raises:
        ExunoError: it cannot be read, or is no JSON object.
    """
    text = read_text(path)
    try:
        return mapping(parse_json(text))
    except (ValueError, RecursionError) as error:
        raise ExunoError(f"{path} is damaged: {_short(error)}", todo) from None


def parse_json(text: str | bytes, parse_int: Callable[[str], Any] | None = None) -> Any:
    """The value of a JSON document.

    Args:
        text: the document.
        parse_int: what whole numbers become; by default int.

    Raises:
        ValueError: it is none, nested too deeply, or an object has a name twice, of which Python's reader would keep
            the last.
        RecursionError: it is nested far too deeply.
    """
    found = json.loads(text, parse_int=parse_int, object_pairs_hook=_object)
    _check_depth(found)
    return found


def _check_depth(value: Any) -> None:
    """Raises ValueError for more levels than ``DEEPEST``."""
    level = [value]
    for _ in range(DEEPEST):
        several = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        if not several:
            return
        level = [each for one in several for each in one]
    raise ValueError(f"it is nested more than {DEEPEST} levels deep")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"{_twice([name for name, _ in pairs])[:40]!r} is there twice")
    return found


def _twice(names: Sequence[Any]) -> Any:
    return next(name for name, count in Counter(names).items() if count > 1)


def read_yaml(path: Path, *, todo: str = "Mend the file.") -> dict[str, Any]:
    """The mapping in a YAML file. Raises ExunoError: it cannot be read, is no mapping, or names itself."""
    try:
        return parse_yaml(read_text(path))
    except ValueError as error:
        raise ExunoError(f"{path} is not YAML that can be used: {error}", todo) from None


def parse_yaml(text: str) -> dict[str, Any]:
    """The mapping in a YAML document. Raises ValueError: it is none, has a name twice, or names itself."""
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML 1.2 (3.2.1.1) wants the names of a mapping to differ; PyYAML would keep the last."""

        def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
            node = super().compose_mapping_node(anchor)  # as it is written: merging (<<) repeats names
            keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
            names = [(key.value, key.tag) for key in keys]
            if len(set(names)) < len(names):
                raise yaml.MarkedYAMLError(None, None, f"{_twice(names)[0][:40]!r} twice", node.start_mark)
            return node

    try:
        content = yaml.load(text, Loader)
        _count(content, {})
        _check_depth(content)
        return mapping(content)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError, LookupError, OverflowError) as error:
        raise ValueError(_short(error)) from None


def mapping(value: Any) -> dict[str, Any]:
    """``value``, if it is a dict whose keys are strings.

    Raises:
        ValueError: it is anything else.
    """
    if not isinstance(value, dict):
        raise ValueError(f"it holds {_kind(value)}, not names with values")
    if stray := [key for key in value if not isinstance(key, str)]:
        raise ValueError(f"{str(stray[0])[:40]!r} is no name")
    return value


def _short(error: Exception) -> str:
    """What is wrong and where, without a piece of the file, which may hold what is not meant for others."""
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    told = f"{problem}, line {mark.line + 1}" if problem and mark else str(error)
    return " ".join(told.split())[:200] or type(error).__name__


def _kind(value: Any) -> str:
    kinds = {dict: "a mapping", list: "a list", str: "a text", bool: "yes or no", type(None): "nothing"}
    return kinds.get(type(value), "a number" if isinstance(value, int | float) else f"a {type(value).__name__}")


def _count(value: Any, sizes: dict[int, int]) -> int:
    """Values in a document, each alias counted as often as it stands."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in sizes:
        sizes[id(value)] = MOST_NODES  # until it is known: what holds itself is too large
        below = [*value, *value.values()] if isinstance(value, dict) else value
        sizes[id(value)] = 1 + sum(_count(each, sizes) for each in below)
    if sizes[id(value)] >= MOST_NODES:
        raise ValueError("its aliases refer to themselves, or write out to more than a million values")
    return sizes[id(value)]


def number(value: Any) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _scalar(value: Any) -> bool:
    """A metric: a number, also one that is not finite."""
    return value is None or isinstance(value, bool | float) or number(value)


def _interval(value: Any) -> bool:
    return value is None or (isinstance(value, list) and len(value) == 2 and all(map(number, value)))


def texts(value: Any) -> bool:
    """Whether a value of a document is a list of texts."""
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _values(kind: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, Mapping) and all(map(kind, value.values()))


RESULT: dict[str, Callable[[Any], bool]] = {
    "exuno": lambda value: isinstance(value, str),
    "command": texts,
    "preset": lambda value: value is None or isinstance(value, str),
    "metrics": _values(_scalar),
    "baselines": _values(_scalar),
    "intervals": _values(_interval),
    "n": _values(number),
    "lineage": lambda value: isinstance(value, Mapping),
    "versions": lambda value: isinstance(value, Mapping),
    "wall_seconds": lambda value: value is None or number(value),
}
"""The kind of each field of result.json that the rest of exuno relies on. Others are only quoted."""


def read_result(path: Path) -> dict[str, Any]:
    """The content of a result.json.

    Raises:
        ExunoError: it cannot be read, or a field is of another kind.
    """
    todo = "Copy it again, or repeat the run's command in another --run-dir."
    result = read_json(path, todo=todo)
    wrong = [name for name, good in RESULT.items() if name in result and not good(result[name])]
    if wrong:
        raise ExunoError(f"{path} is damaged: its '{wrong[0]}' is of another kind than exuno writes", todo)
    return {"metrics": {}, **result}
