"""Values of keyword arguments as a preset would hold them. What a number may be is for the parser to say. No torch."""

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from difflib import get_close_matches
from numbers import Number
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from exuno.api.outcome import Outcome
from exuno.engine.errors import ExunoError


def plain(name: str, value: Any, hint: Any) -> Any:
    """The value of a keyword, a group as a dict, what a verb handed back as the spec of its model or poster.

    Args:
        name: of the keyword, for the message.
        value: what was given.
        hint: the annotation of its field.

    Raises:
        ExunoError: nothing that a command line could hold.
    """
    if is_dataclass(hint) and isinstance(hint, type):
        return group(name, value, hint)
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    several = isinstance(value, list | tuple)
    if several and not any(get_origin(kind) is tuple for kind in (hint, *get_args(hint))):
        raise ExunoError(f"{name} is {value!r}", "It has to be one value.")
    words = [single(name, each, hint) for each in (value if several else [value])]
    return words if several else words[0]


def group(name: str, value: Any, kind: type[Any]) -> dict[str, Any]:
    """A group of options, given as a dict of those that change or as a dataclass of all."""
    if isinstance(value, kind):
        value = asdict(value)
    if not isinstance(value, Mapping):
        raise ExunoError(f"{name} is {value!r}", f"Give a dict of its fields, or a {kind.__name__}.")
    hints = get_type_hints(kind)
    for key in value:
        if key not in hints:
            near = get_close_matches(str(key), hints, 1)
            todo = f"Did you mean '{near[0]}'?" if near else f"It has: {', '.join(hints)}."
            raise ExunoError(f"'{key}' is nothing that {name} has", todo)
    return {key: plain(f"{name}.{key}", each, hints[key]) for key, each in value.items()}


def single(name: str, value: Any, hint: Any) -> Any:
    """One word. Switches are looked at here: on a command line they have no value that a parser could refuse."""
    if isinstance(value, Outcome):
        return value.spec
    if (hint is bool) is not isinstance(value, bool):
        raise ExunoError(f"{name} is {value!r}", f"It has to be {'True or False' if hint is bool else 'a value'}.")
    if value is None or isinstance(value, str | Path | Number):
        return value
    model = "A model is given by its folder: exuno.save_model(model, folder), then 'run:FOLDER'."
    raise ExunoError(f"{name} is a {type(value).__name__}", model if callable(value) else "Give a plain value.")
