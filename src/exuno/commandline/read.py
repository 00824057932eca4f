"""The words of a command line -> the configuration of a verb; what is wrong with them, in a sentence. No torch.

tyro parses. Around it stand what a user wants first: help (``help``), the option that was probably meant, what is
missing, and tyro's own complaints without their boxes.
"""

import io
import re
from collections.abc import Sequence
from contextlib import redirect_stderr
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, TypeVar

from exuno.commandline.fields import Option, options_of
from exuno.engine.errors import ExunoError
from exuno.engine.idle import check_acting
from exuno.engine.ranges import check_fields
from exuno.renamed import check_names

if TYPE_CHECKING:
    from exuno.presets import Preset

Config = TypeVar("Config")
ALIKE = 0.75
"""Similarity, as difflib measures it, from which a name or a description may be what was meant."""
COLOUR = re.compile(r"\x1b\[[\d;]*m")
"""What tyro colours its complaints with where standard output is a terminal, wherever they go."""
PLAIN = (
    (r"invalid literal for int\(\) with base 10: ('.*?')", r"\1 is no whole number"),
    (r"Unrecognized options: (.*)", r"there is no place for '\1' in this command"),
    (r"could not convert string to float: ('.*?')", r"\1 is no number"),
    (
        r"Could not find valid parse for arguments: \[('[^']*,[^']*')\]",
        r"\1 is not understood, spaces part several values",
    ),
    (r"Could not find valid parse for arguments: \[(.*?)\]", r"\1 is not understood"),
)
"""What Python and tyro say of a value, and how it is said here."""


def parsed(
    verb: str,
    kind: type[Config],
    args: Sequence[str],
    default: Config | None = None,
    preset: "Preset | None" = None,
    *,
    recorded: bool = False,
) -> Config:
    """The configuration that a command line asks for.

    Args:
        verb: its words after ``exuno``.
        kind: the configuration.
        args: the words that follow.
        default: the values of what is not typed: those of a preset.
        preset: which one, for the help, and for what it lacks.
        recorded: whether the words are those of a file, which may say what does nothing: nobody typed it.

    Raises:
        ExunoError: options that there are not or that would do nothing, values that make none, or something is missing.
        SystemExit: help was asked for, and printed.
    """
    args, options = list(args), options_of(kind)
    if (asked := help_asked(args)) is not None:
        from exuno.commandline.help import text

        print(text(verb, kind, default=default, preset=preset, everything=asked == "all"), end="")
        raise SystemExit(0)
    check_names(verb, args)
    check_options(verb, args, options)
    if default is None:
        check_complete(verb, args, options, preset)
    import tyro

    said = io.StringIO()
    try:
        with redirect_stderr(said):
            given: dict[str, Any] = {} if default is None else {"default": default}
            config = tyro.cli(kind, args=args, prog=f"exuno {verb}", **given)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise ExunoError(*complaint(verb, said.getvalue(), options)) from None
    check_fields(config)
    if not recorded:
        check_acting(config, default)
    return config


def help_asked(args: Sequence[str]) -> str | None:
    """None without ``--help`` or ``-h``; else the word behind it, which is ``all`` for every option."""
    for position, word in enumerate(args):
        if word in ("-h", "--help"):
            return args[position + 1] if position + 1 < len(args) else ""
    return None


def flags_in(args: Sequence[str]) -> list[str]:
    """The options among the words, without values, as they are listed: with hyphens."""
    return [word.partition("=")[0].replace("_", "-") for word in args if re.match(r"--[a-zA-Z]", word)]


def check_options(verb: str, args: Sequence[str], options: Sequence[Option]) -> None:
    """Raises ExunoError for an option that the verb has not, with those that were probably meant."""
    known = {flag for option in options for flag in option.flags}
    for flag in flags_in(args):
        if flag not in known and not flag.startswith("--tyro-"):
            close = nearest(flag, options)
            todo = f"Did you mean {' or '.join(close)}?" if close else f"exuno {verb} --help all lists the options."
            raise ExunoError(f"{verb} has no option {flag}", todo)


def nearest(flag: str, options: Sequence[Option]) -> list[str]:
    """The options that a misspelt one may stand for: by their whole names, else by the last part, else by words of
    what they say of themselves (--learning-rate is --optim.lr, "peak learning rate")."""
    wanted = flag.removeprefix("--").removeprefix("no-")
    own = {option.flag: option for option in options if option.flag.startswith("--")}

    def best(score: dict[str, float], count: int) -> list[str]:
        found = sorted((name for name in score if score[name] >= ALIKE), key=lambda name: -score[name])
        return [name for name in found if score[name] >= score[found[0]] - 0.05][:count]

    last = wanted.rpartition(".")[2]
    by_name = {name: alike(wanted, name.removeprefix("--")) for name in own}
    by_end = {name: alike(last, name.removeprefix("--").rpartition(".")[2]) for name in own}
    words = last.split("-")
    by_about = {name: alike_in(words, option.about) for name, option in own.items()}
    return best(by_name, 1) or best(by_end, 3) or (best(by_about, 3) if len(words) > 1 else [])


def alike(one: str, other: str) -> float:
    """How similar two words are, from 0 to 1."""
    return SequenceMatcher(None, one.lower(), other.lower()).ratio()


def alike_in(words: Sequence[str], about: str) -> float:
    """How similar words are to as many words of the first sentence of a description."""
    there = re.findall(r"[\w-]+", about.partition(". ")[0])
    runs = (there[i : i + len(words)] for i in range(len(there) - len(words) + 1))
    return max((alike(" ".join(words), " ".join(run)) for run in runs), default=0.0)


def check_complete(verb: str, args: Sequence[str], options: Sequence[Option], preset: "Preset | None" = None) -> None:
    """Raises ExunoError if something is not given that the verb cannot do without: typed, or by a preset whose words
    these are."""
    given = flags_in(args)
    missing = [option for option in options if option.required and not given_as(option, given, args)]
    if not missing:
        return
    if preset:
        keys = ", ".join(option.flag.removeprefix("--").replace("-", "_") for option in missing)
        raise ExunoError(
            f"the preset {preset.name} has no {keys}, which {verb} needs",
            "Write it into its config; options that are typed go over it.",
        )
    from exuno.presets import example, files

    presets = [name for _, name in files(verb)]
    if misplaced := [word for word in args if word in presets]:
        rest = " ".join(word for word in args if word != misplaced[0])
        raise ExunoError(
            f"the preset '{misplaced[0]}' stands behind options", f"Write it first: exuno {verb} {misplaced[0]} {rest}"
        )
    todo = f"What each takes: exuno {verb} --help."
    if presets:
        todo += f" Or name a preset first: exuno {verb} {example(presets)}."
    names = ", ".join(option.metavar if option.positional else option.flag for option in missing)
    raise ExunoError(f"{verb} needs {names}", todo)


def given_as(option: Option, flags: Sequence[str], args: Sequence[str]) -> bool:
    """Whether a required option may be among the words; of one that is typed without its name, as far as that can be
    told."""
    if option.positional:
        return option.several or any(not word.startswith("-") for word in args)
    return option.flag in flags


def complaint(verb: str, text: str, options: Sequence[Option]) -> tuple[str, str]:
    """What tyro's box says, as a sentence, and what to do."""
    text = COLOUR.sub("", text)
    boxed = re.split(r"^.*[─-]{8}.*$", text, flags=re.MULTILINE)  # lines that frame it, or part it
    inside = (boxed[1] if len(boxed) > 1 else text).strip().splitlines()
    lines = [line.strip(" │") for line in inside]
    told = " ".join(lines[: lines.index("")] if "" in lines else lines).removeprefix("Error parsing ")
    for pattern, plain in PLAIN:
        told = re.sub(pattern, plain, told)
    about = next((option for option in options if re.search(rf"{re.escape(option.flag)}(?![\w.-])", told)), None)
    takes = f"{about.shown}: {about.about}" if about and not about.positional else f"exuno {verb} --help tells more."
    return told, takes
