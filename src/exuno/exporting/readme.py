"""README.md as the Hugging Face hub reads it: a head of YAML, a table of facts, sections."""

import shlex
from collections.abc import Mapping
from typing import Any

import yaml

from exuno.report.headline import SMOKE, is_accuracy
from exuno.report.html import flatten
from exuno.version import __version__


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
        f"# {name}{' (smoke run)' if smoke else ''}",
        *([f"> **{SMOKE[0]}** {SMOKE[1]}"] if smoke else []),
        *([f"{summary.rstrip('.')}."] if summary else []),
        "\n".join(["| | |", "|---|---|", *(f"| {title} | {_cell(text)} |" for title, text in facts.items())]),
        *(f"## {title}\n\n{text}" for title, text in sections.items()),
        f"License: {license or 'not stated'}. Written by exuno {__version__}.",
    ]
    return "\n\n".join(parts) + "\n"


def lineage_of(lineage: Mapping[str, Any], command: list[str]) -> str:
    """Where something comes from, as a list; and the command that makes it again, if there is one."""
    rows = [f"- {key.replace('_', ' ')}: `{value}`" for key, value in flatten(dict(lineage)) if value != ""]
    told = "\n".join(rows) or "Nothing was recorded."
    again = f"Made by, with exuno {__version__} (paths are as they were there):\n\n```sh\n{shlex.join(command)}\n```"
    return f"{told}\n\n{again}" if command else told


def percent(key: str, value: Any) -> str:
    """A metric as a reader wants it: shares in percent."""
    share = is_accuracy(key) or key.rpartition("/")[2] in ("top1", "top5", "clip_top1", "ece", "accuracy")
    return f"{100 * value:.2f} %" if share else f"{value:.4g}" if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
