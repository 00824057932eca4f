"""README.md as the Hugging Face hub reads it, and the run that it tells of."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from exuno.commandline.presets import resolve
from exuno.engine.documents import read_result, read_yaml
from exuno.engine.errors import ExunoError
from exuno.engine.session import summary_of
from exuno.presets import files, read, to_args, to_dict
from exuno.report.headline import SMOKE, is_accuracy
from exuno.report.html import flatten
from exuno.study.grid import STAGES
from exuno.version import __version__

LONGEST = 2000
"""Letters of a piece of text of unknown origin."""


def document(
    name: str,
    facts: Mapping[str, str],
    sections: Mapping[str, str],
    license: str | None,
    tags: list[str],
    summary: str = "",
    smoke: bool = False,
    more: Mapping[str, Any] | None = None,
) -> str:
    """The whole file.

    Args:
        name: its heading.
        facts: what it is, title -> text.
        sections: heading -> Markdown.
        license: as the hub names it; None is told as not stated.
        tags: for the hub's search, besides exuno.
        summary: a sentence below the heading; none where it is empty.
        smoke: whether it comes from a smoke run, which is told first.
        more: what else its head says, for the hub.
    """
    head = (
        {"library_name": "exuno", "tags": ["exuno", *tags]}
        | ({"license": license} if license else {})
        | dict(more or {})
    )
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---",
        f"# {quoted(name)}{' (smoke run)' if smoke else ''}",
        *([f"> **{SMOKE[0]}** {SMOKE[1]}"] if smoke else []),
        *([f"{quoted(summary).rstrip('.')}."] if summary else []),
        "\n".join(["| | |", "|---|---|", *(f"| {title} | {_cell(text)} |" for title, text in facts.items())]),
        *(f"## {title}\n\n{text}" for title, text in sections.items()),
        f"License: {license or 'not stated'}. Written by exuno {__version__}.",
    ]
    return "\n\n".join(parts) + "\n"


def lineage_of(lineage: Mapping[str, Any], command: list[str]) -> str:
    """Where something comes from, as a list; and the command that makes it again, if there is one."""
    known = [(key.replace("_", " "), value) for key, value in flatten(dict(lineage)) if value != ""]
    told = "\n".join(f"- {quoted(key)}: {_code(value)}" for key, value in known) or "Nothing was recorded."
    words = shlex.join(command)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", words)), default=0))  # longer than any in the command
    again = f"Made by, with exuno {__version__} (paths are as they were there):\n\n{fence}sh\n{words}\n{fence}"
    return f"{told}\n\n{again}" if command else told


def percent(key: str, value: Any) -> str:
    """A metric as a reader wants it: shares in percent."""
    share = is_accuracy(key) or key.rpartition("/")[2] in ("top1", "top5", "clip_top1", "ece", "accuracy")
    return f"{100 * value:.2f} %" if share else f"{value:.4g}" if isinstance(value, float) else str(value)


def quoted(text: object) -> str:
    """Text of unknown origin as Markdown that shows it as it is, in one line."""
    return re.sub(r"([\\`*\[\]<>|])", r"\\\1", _line(text))


def _code(text: object) -> str:
    return f"`{_line(text).replace('`', chr(39))}`"


def _line(text: object) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in str(text))[:LONGEST]


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|").replace("](", "]\\(").replace("<", "&lt;")


@dataclass(frozen=True)
class Origin:
    """What a run directory says; all empty of what comes from no run."""

    result: dict[str, Any] = field(default_factory=dict)
    """result.json"""
    summary: str = ""
    """What was done, in a sentence."""
    command: list[str] = field(default_factory=list)
    """Words that make it again wherever exuno is installed: they name no file of the run."""
    smoke: bool = False


def origin_of(spec: str) -> Origin:
    """The origin of a model spec or, as ``run:PATH``, of a poster: of a finished run; empty for all else."""
    folder = Path(spec.removeprefix("run:"))
    if not spec.startswith("run:") or not (folder / "result.json").is_file():
        return Origin()
    result = read_result(folder / "result.json")
    try:
        told = read_yaml(folder / "config.yaml")
        verb, preset, config = told["verb"], told.get("preset") or "", told["config"]
        words = command_of(verb, preset, config)
        summary = (told.get("about") or {}).get("summary") or summary_of(verb, config)
        smoke = bool(config.get("smoke"))
    except (ExunoError, KeyError, TypeError, ValueError, AttributeError):  # missing, or changed by somebody
        return Origin(result, command=result.get("command") or [])
    return Origin(result, summary, words or result.get("command") or [], smoke)


def command_of(verb: str, preset: str, config: dict[str, Any]) -> list[str]:
    """``exuno VERB [PRESET] --what --differs``, so that it resolves to ``config``; empty for a verb that trains
    nothing.

    Args:
        verb: of the command line.
        preset: a name; of a file, or empty, it is not in the command, which then says all that differs from the
            defaults.
        config: as config.yaml has it.

    Raises:
        KeyError: the configuration lacks what the verb needs.
    """
    if verb not in STAGES:
        return []
    module, _, name = STAGES[verb].partition(":")
    kind = getattr(import_module(module), name)
    if (verb, preset) in files(verb):
        first, needed, stated = [preset], {}, to_dict(resolve(kind, read(verb, preset)))
    else:
        required = [each.name for each in fields(kind) if each.default is each.default_factory is MISSING]
        first, needed = [], {key: config[key] for key in required}
        stated = to_dict(kind(**needed))
    return ["exuno", *verb.split(), *first, *to_args(needed | changes(stated, config))]


def changes(stated: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """The values of ``config`` that are not as stated, groups as dicts."""
    found = {}
    for key, value in config.items():
        before = stated.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            value, before = changes(before, value), {}
        if key in stated and value != before:
            found[key] = value
    return found
