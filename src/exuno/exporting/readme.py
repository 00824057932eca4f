"""README.md as the Hugging Face hub reads it: a head of YAML, a table of facts, sections."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

import yaml

from exuno.version import __version__


def document(
    name: str, facts: Mapping[str, str], sections: Mapping[str, str], license: str | None, tags: list[str]
) -> str:
    """The whole file.

    Args:
        name: its heading.
        facts: what it is, title -> text.
        sections: heading -> Markdown.
        license: as the hub names it; None is told as not stated.
        tags: for the hub's search, besides exuno.
    """
    head = {"library_name": "exuno", "tags": ["exuno", *tags]} | ({"license": license} if license else {})
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---",
        f"# {name}",
        "\n".join(["| | |", "|---|---|", *(f"| {title} | {_cell(text)} |" for title, text in facts.items())]),
        *(f"## {title}\n\n{text}" for title, text in sections.items()),
        f"License: {license or 'not stated'}. Written by exuno {__version__}.",
    ]
    return "\n\n".join(parts) + "\n"


def lineage_of(lineage: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """Where something comes from, as a list; the command of its run, if it has one."""
    rows = [f"- {key}: {_plain(value)}" for key, value in lineage.items() if value not in (None, [], {}, ())]
    command = result.get("command")
    told = "\n".join(rows) or "Nothing was recorded."
    return f"{told}\n\n```sh\n{shlex.join(command)}\n```" if command else told


def percent(key: str, value: Any) -> str:
    """A metric as a reader wants it: shares in percent."""
    share = isinstance(value, float) and key.rpartition("/")[2] in ("top1", "top5", "ece")
    return f"{100 * value:.2f} %" if share else f"{value:.4g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> str:
    return f"`{json.dumps(value, ensure_ascii=False)}`" if isinstance(value, dict | list) else f"`{value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
