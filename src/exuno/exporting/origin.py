"""The run that something to be handed on comes from: what it measured, and the command that makes it again."""

from dataclasses import MISSING, dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import Any

from exuno.engine.documents import read_result, read_yaml
from exuno.engine.errors import ExunoError
from exuno.engine.session import summary_of
from exuno.presets import files, read, resolve, to_args, to_dict
from exuno.study.grid import STAGES


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
