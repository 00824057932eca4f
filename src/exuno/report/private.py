"""A run as a page may tell it that goes to others: without images of data and source, and paths by their names."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from exuno.report.record import Record, mapping

SHOWN = ("numbers", "model")
"""What a figure may show: numbers (a chart) or what a model made of noise. All others show data or a source."""
NAMES = ("hf-hub", "timm", "torchvision", "exuno", "photo", "noise", "sound", "teach", "http", "https")
"""Prefixes of specs that are followed by a name, not by a path."""
ABSOLUTE = re.compile(r"(?<![\w/.~-])(?:(?:~|\.{1,2})(?:/[^\s/'\"<>|,;()]+)+|(?:/[^\s/'\"<>|,;()]+){2,})/?")
"""A path in a text that says by itself that it is one."""
REMARK = "# Paths are shown by their last names (--no-images); command.txt beside this page has them whole."


def private(record: Record) -> Record:
    """The same run without images of its data or sources, and with each path reduced to its last name."""
    paths = sorted({path for path in _paths(record) if name_of(path) != path}, key=len, reverse=True)
    known = re.compile("|".join(rf"(?<![\w./~-]){re.escape(path)}(?![\w/-])" for path in paths)) if paths else None

    def text(value: str) -> str:
        value = known.sub(lambda found: name_of(found[0]), value) if known else value
        return ABSOLUTE.sub(lambda found: name_of(found[0]), value)

    def every(value: Any) -> Any:
        if isinstance(value, dict):
            return {every(key): every(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [every(inner) for inner in value]
        return text(value) if isinstance(value, str) else value

    config = every(record.config)
    figures = [figure for figure in record.figures if figure.shows in SHOWN]
    return replace(
        record,
        config=config,
        config_text=_dump(config),
        command="\n".join([text(" ".join(_words(record.command))), REMARK]) if record.command else "",
        environment=every(record.environment),
        result=every(record.result),
        figures=[replace(each, title=text(each.title), caption=text(each.caption)) for each in figures],
        evaluations=[replace(each, images=None) for each in record.evaluations],
    )


def name_of(path: str) -> str:
    """``data/cats/`` -> ``cats``."""
    return path.rstrip("/").rpartition("/")[2] or path


def _paths(record: Record) -> Iterator[str]:
    """What looks like a path in configuration, command and lineage."""
    inside = [record.config.get("config"), record.config.get("inputs"), record.config.get("preset")]
    for value in _strings([*inside, record.part("lineage"), _words(record.command)]):
        parts = re.split(r"[\s=,]+", value) if record.verb == "study" else [value]
        for part in parts:
            prefix, colon, rest = part.partition(":")
            if colon and prefix.lstrip("@") in NAMES:
                continue
            path = rest if colon and "/" not in prefix else part
            if "/" in path:
                yield path


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _strings([key, inner])
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
    elif isinstance(value, str):
        yield value


def _words(command: str) -> list[str]:
    """The words of the first line of command.txt, quoted where they need it."""
    first = next((line for line in command.splitlines() if line and not line.startswith("#")), "")
    try:
        return [shlex.quote(word) for word in shlex.split(first)]
    except ValueError:  # somebody changed it
        return first.split()


def _dump(config: dict[str, Any]) -> str:
    import yaml

    shown = {key: value for key, value in mapping(config).items() if key != "no_images"}
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=10**6) if shown else ""
