"""README.md as the Hugging Face hub reads it: a head of YAML, a table of facts, sections."""

import re
import shlex
from collections.abc import Mapping
from typing import Any

import yaml

from exuno.report.headline import SMOKE, is_accuracy
from exuno.report.html import flatten
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
    """
    head = {"library_name": "exuno", "tags": ["exuno", *tags]} | ({"license": license} if license else {})
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
