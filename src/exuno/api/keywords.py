"""Keyword arguments -> the configuration of a verb, by the parser of the command line. No torch."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from exuno.api.values import plain
from exuno.commandline import parsed
from exuno.commandline.presets import parse
from exuno.engine.errors import ExunoError
from exuno.engine.stop import INTERRUPTED, REQUEUE
from exuno.presets import Preset, to_args
from exuno.renamed import check_names

Config = TypeVar("Config")
Plan = tuple[Config, Preset | None, list[str]]
"""A configuration, its preset, and the arguments that a command line would have."""
TERMINAL = ("dry_run", "debug")
"""Options that only mean something at a terminal."""


def configure(
    verb: str,
    kind: type[Config],
    options: Mapping[str, Any],
    preset: str | Path | None = None,
    typed: Callable[[Sequence[str]], list[str]] = list,
) -> Plan[Config]:
    """What ``exuno VERB [PRESET] [--options]`` would carry out.

    Args:
        verb: of the command line.
        kind: its configuration.
        options: keyword arguments: fields of the configuration, groups as dicts or dataclasses.
        preset: name of a preset, or a YAML file.
        typed: what the verb does to its arguments before they are parsed.

    Raises:
        ExunoError: a keyword or value that the verb does not have.
    """
    known = keywords(kind)
    check_names(verb, [f"--{name}={value}" for name, value in options.items()])
    first, rest = [], []
    for name, value in options.items():
        if name not in known:
            raise ExunoError(f"'{name}' is no keyword of {verb}", nearest(name, known))
        words = to_args({name: plain(name, value, known[name])})
        positional = is_positional(known[name])
        first, rest = (first + words[1:], rest) if positional else (first, rest + words)
    args = typed([*([str(preset)] if preset is not None else []), *first, *rest])
    if preset is None:  # a first word without a name is no preset here, but a model or a photograph
        return parsed(verb, kind, args), None, args
    return *parse(verb, kind, args), args


def keywords(kind: type[Any]) -> dict[str, Any]:
    """Name of each keyword -> its annotation; a group that is typed without a prefix stands for its fields."""
    import tyro

    found: dict[str, Any] = {}
    hints = get_type_hints(kind, include_extras=True)
    for each in fields(kind):
        hint = hints[each.name]
        if tyro.conf.OmitArgPrefixes in metadata(hint):
            found |= keywords(get_args(hint)[0])
        else:
            names = [name for mark in metadata(hint) if (name := getattr(mark, "name", None))]
            found[names[0] if names else each.name] = hint
    return {name: hint for name, hint in found.items() if name not in TERMINAL}


def metadata(hint: Any) -> tuple[Any, ...]:
    """What tyro is told about a field."""
    return get_args(hint)[1:] if get_origin(hint) is Annotated else ()


def is_positional(hint: Any) -> bool:
    """Whether a field is typed without its name."""
    import tyro

    return tyro.conf.Positional in metadata(hint)


def nearest(name: str, known: Mapping[str, Any]) -> str:
    """A sentence that names the keyword that was probably meant, also one inside a group."""
    inside = {field.name: f"{group}={{'{field.name}': …}}" for group, kind in known.items() if is_dataclass(kind)
              for field in fields(kind)}  # fmt: skip
    if name in TERMINAL:
        return "It is for the command line: leave it out."
    if name == "preset":
        return "A preset is the first argument, without a name, of the verbs that have presets."
    for names in (dict.fromkeys(known), inside):
        if near := get_close_matches(name, names, 1):
            return f"Did you mean {names[near[0]] or near[0]}?"
    return f"The keywords are: {', '.join(known)}."


def keyword(flag: str) -> str:
    """``--loss.standard-ise`` -> ``loss.standard_ise``."""
    return flag.removeprefix("--").replace("-", "_")


def spoken(text: str) -> str:
    """A sentence for the command line with its flags as keywords; one that holds a whole command stays."""
    if re.search(r"\bexuno [a-z]+ ", text):
        return text
    text = re.sub(r"(for instance) --([a-z-]+) (\w+)", r"\1 \2='\3'", text)
    return re.sub(r"(?<![\w-])--[a-z][a-z0-9_.-]*[a-z0-9]", lambda found: keyword(found[0]), text)


@contextmanager
def as_keywords() -> Iterator[None]:
    """Mistakes are told with keywords for flags; a process that was started and failed is one."""
    try:
        yield
    except ExunoError as error:
        error.what, error.todo = spoken(error.what), spoken(error.todo)
        error.args = (f"{error.what} {error.todo}".strip(),)
        raise
    except SystemExit as stop:
        if stop.code == REQUEUE:
            raise  # a program that is told to stop ends like a command
        if stop.code == INTERRUPTED:
            raise KeyboardInterrupt from stop
        raise ExunoError("a process has failed", "What it printed stands above.") from stop
