"""The fields of a configuration as options of a command line: names, what they take, what they say. No torch.

A configuration is a frozen dataclass whose fields have a description below them. It may say, for the help:
``OFTEN``, the names of the options that people use, and ``EXAMPLES``, commands.
"""

import ast
import inspect
import types
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

METAVARS = {
    **dict.fromkeys(("model", "models", "teacher", "student", "reference", "similar", "arch"), "MODEL"),
    **dict.fromkeys(("data",), "DATA"),
    **dict.fromkeys(("photos", "source", "sources", "images"), "PHOTO"),
    **dict.fromkeys(("recordings",), "RECORDING"),
    **dict.fromkeys(("data_root", "run_dir", "cache_dir", "cache", "to"), "DIR"),
    **dict.fromkeys(("canvas", "grid", "patches", "area"), "WxH"),
    **dict.fromkeys(("split", "units", "classes", "layer", "metrics", "tables", "rows", "columns"), "NAME"),
    **dict.fromkeys(("stages",), "COMMAND"),
    **dict.fromkeys(("axes", "set"), "FLAG=VALUE"),
    **dict.fromkeys(("augment", "real_augment"), "NAMES"),
    "devices": "auto|cpu|N",
    "resume": "auto|never|PATH",
    "ray": "local|auto|ADDRESS",
    "order": "features|clip|given|NUMBERS",
    "shard": "I/N",
    "push": "ORG/NAME",
    "license": "NAME",
}
"""Name of a field whose value is text or a path -> what it takes. A name means the same in every verb."""


@dataclass(frozen=True)
class Option:
    """One option, or one word that is typed without a name."""

    name: str
    """As in Python, with its group: ``optim.weight_decay``."""
    kind: Any
    """Type, without None."""
    about: str
    default: Any
    """MISSING where one has to be given."""
    positional: bool
    metavar: str
    group: str
    """Title of its group; empty for those of the verb itself."""

    @property
    def required(self) -> bool:
        return self.default is MISSING

    @property
    def several(self) -> bool:
        return get_origin(self.kind) is tuple

    @property
    def flag(self) -> str:
        """As it is typed, without a value."""
        return self.metavar if self.positional else "--" + self.name.replace("_", "-")

    @property
    def off(self) -> str:
        """What turns a switch off."""
        group, dot, last = self.flag.removeprefix("--").rpartition(".")
        return f"--{group}{dot}no-{last}"

    @property
    def flags(self) -> tuple[str, ...]:
        return (self.flag, self.off) if self.kind is bool else (self.flag,)

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that it takes, where they are a few names."""
        if get_origin(self.kind) is Literal:
            return tuple(map(str, get_args(self.kind)))
        return tuple(self.metavar.split("|")[:-1]) if self.metavar.endswith("|module:Name") else ()

    @property
    def shown(self) -> str:
        """As the help lists it: ``--optim.lr X``, ``--[no-]pretrained``."""
        if self.kind is bool:
            return self.off.replace("no-", "[no-]", 1) if ".no-" not in self.off else self.off.replace(".no-", ".[no-]")
        return self.flag if self.positional else f"{self.flag} {self.metavar}"


def options_of(kind: type[Any]) -> list[Option]:
    """All options of a configuration, in order; words without a name come first, options of groups last."""
    return sorted(_walk(kind), key=lambda option: (not option.positional, option.group != ""))


def _walk(kind: type[Any], prefix: str = "", group: str = "", stated: Any = None) -> list[Option]:
    """The options of a configuration, or of a group in it whose default values are ``stated``."""
    import tyro

    found: list[Option] = []
    hints, told = get_type_hints(kind, include_extras=True), descriptions(kind)
    for field in fields(kind):
        hint, marks = unwrapped(hints[field.name])
        default = field.default if field.default_factory is MISSING else field.default_factory()
        default = default if stated is None else getattr(stated, field.name)
        name = prefix + next((given for mark in marks if (given := getattr(mark, "name", None))), field.name)
        if is_dataclass(hint) and isinstance(hint, type):
            bare = tyro.conf.OmitArgPrefixes in marks
            found += _walk(hint, prefix if bare else f"{name}.", group or name, default)
            continue
        metavar = next((given for mark in marks if (given := getattr(mark, "metavar", None))), None)
        value = without_none(hint)
        positional = tyro.conf.Positional in marks
        shown = metavar or takes(field.name, value)
        found.append(Option(name, value, told.get(field.name, ""), default, positional, shown, group))
    return found


def unwrapped(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type of a field, and what tyro is told about it."""
    if get_origin(hint) is Annotated:
        inner, *marks = get_args(hint)
        return inner, tuple(marks)
    return hint, ()


def without_none(hint: Any) -> Any:
    """``int | None`` -> int."""
    if get_origin(hint) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not type(None)]
        return kinds[0] if len(kinds) == 1 else hint
    return hint


def takes(name: str, kind: Any) -> str:
    """What an option takes, in a word: ``N``, ``X``, ``MODEL``, ``a|b``; with dots for several."""
    if get_origin(kind) is tuple:
        first, *rest = get_args(kind)
        one = takes(name, first)
        return f"{one} …" if rest == [...] else " ".join([one] * (1 + len(rest)))
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    numbers = {int: "N", float: "X"}
    return numbers.get(kind) or METAVARS.get(name) or ("PATH" if kind is Path else "TEXT")


def descriptions(kind: type[Any]) -> dict[str, str]:
    """Name of each field of a dataclass -> the description below it, in one line; also of inherited ones."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if is_dataclass(each):
            found |= _written(inspect.getfile(each)).get(each.__name__, {})
    return found


@cache
def _written(file: str) -> dict[str, dict[str, str]]:
    """Class -> field -> description, of a source file."""
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    return {node.name: dict(_below(node.body)) for node in tree.body if isinstance(node, ast.ClassDef)}


def _below(body: Sequence[ast.stmt]) -> list[tuple[str, str]]:
    found = []
    for field, text in pairwise(body):
        named = isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and field.target.id
        if named and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found.append((named, " ".join(str(text.value.value).split())))
    return found
