"""What ``exuno VERB --help`` prints: usage, presets, examples, and the options that people use; or all. No torch."""

import inspect
import shutil
import textwrap
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from exuno.commandline.fields import Option, options_of

if TYPE_CHECKING:
    from exuno.presets import Preset

COLUMN = 28
"""Where the descriptions begin."""
WIDEST = 100


def text(
    verb: str, kind: type[Any], *, default: Any = None, preset: "Preset | None" = None, everything: bool = False
) -> str:
    """The help of a verb.

    Args:
        verb: its words after ``exuno``.
        kind: its configuration, with ``OFTEN`` and ``EXAMPLES`` if there are more options than people use.
        default: values of a preset, to show in the place of the configuration's own.
        preset: the preset.
        everything: all options, not only ``OFTEN``.
    """
    width = max(40, min(WIDEST, shutil.get_terminal_size().columns))
    options = options_of(kind)
    often = getattr(kind, "OFTEN", "").split()
    chosen = [o for o in options if everything or not often or o.positional or o.name in often]
    if not everything:
        chosen.sort(key=lambda o: often.index(o.name) if o.name in often else -1)
    from exuno.presets import summaries  # here, because it uses this package

    presets = summaries(verb) if default is None else {}
    words = ["[PRESET]"] if presets else [preset.name] if preset else []
    words += [option.metavar for option in options if option.positional]
    lines = paragraph(" ".join(["exuno", verb, *words, "[--options]"]), width, "usage: ", " " * 7)
    lines += ["", *paragraph((preset and preset.about.get("summary")) or inspect.getdoc(kind) or "", width)]
    if presets:
        lines += ["", f"presets (more: exuno presets show {verb} NAME):"]
        column = max(map(len, presets)) + 4
        lines += [line for name, about in presets.items() for line in entry(name, about, width, column)]
    if examples := getattr(kind, "EXAMPLES", ()):
        lines += ["", "examples:", *(line for each in examples for line in example(each, width))]
    group = None
    for option in chosen:
        if (everything and option.group != group) or group is None:
            lines += ["", f"{option.group} options:" if everything and option.group else "options:"]
        group = option.group
        lines += entry(option.shown, described(option, kind, default), width)
    if len(chosen) < len(options):
        lines += ["", f"All {len(options)} options: exuno {verb} --help all"]
    return "\n".join(lines) + "\n"


def described(option: Option, kind: type[Any], default: Any) -> str:
    """The description of an option, with its default."""
    value = option.default if default is None else value_of(default, option.name)
    if option.required and default is None:
        return option.about if option.positional else f"{option.about} (required)"
    if value in (None, "", False, ()):
        return option.about
    shown = " ".join(map(spelt, value)) if isinstance(value, tuple | list) else spelt(value)
    return f"{option.about} ({'on' if value is True else shown})"


def spelt(value: Any) -> str:
    """A value as it is typed."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value.value if isinstance(value, Enum) else value)


def value_of(config: Any, name: str) -> Any:
    """The value of an option in a configuration; groups without a prefix are looked into."""
    first, dot, rest = name.partition(".")
    if hasattr(config, first):
        value = getattr(config, first)
        return value_of(value, rest) if dot else value
    for field in fields(config):
        inner = getattr(config, field.name)
        if is_dataclass(inner) and hasattr(inner, first):
            return value_of(inner, name)
    return None


def entry(name: str, about: str, width: int, column: int = COLUMN) -> list[str]:
    """A name, and beside it what it is; below it, where the name is long."""
    head, indent = f"  {name}", " " * column
    if len(head) <= column - 2:
        return paragraph(about, width, f"{head:{column}}", indent) or [head]
    name = name.replace("|", " | ") if max(map(len, name.split())) + 4 > width else name  # a list no line holds
    return [*paragraph(name, width, "  ", "    "), *paragraph(about, width, indent, indent)]


def example(command: str, width: int) -> list[str]:
    """A command as it is typed: a long one on several lines, which a shell puts together."""
    *first, last = paragraph(command, width - 2, "  ", "      ")
    return [*(f"{line} \\" for line in first), last]


def paragraph(words: str, width: int, first: str = "", indent: str = "") -> list[str]:
    """Lines of at most ``width``, broken between words only."""
    return textwrap.wrap(
        " ".join(words.split()),
        width,
        initial_indent=first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
