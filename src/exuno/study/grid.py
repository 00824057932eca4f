"""Stages and axes -> cells. No torch.

A stage is a command line with holes; an axis is an option of it with the values that it takes. A cell is a stage at one
value of each axis that it depends on: its own and those of the stages it refers to. Whatever a stage does not depend on
does not multiply it, so one teacher serves all the temperatures of its students.
"""

import hashlib
import itertools
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pathlib import Path

from exuno.commandline.fields import options_of
from exuno.engine.errors import ExunoError

STAGES = {
    "teach": "exuno.teach.options:TeachConfig",
    "distill": "exuno.distill.options:DistillConfig",
    "selfsup": "exuno.selfsup.options:SelfsupConfig",
    "poster": "exuno.poster.options:PosterConfig",
    "fewshot pretrain": "exuno.fewshot.options:PretrainConfig",
    "fewshot distill": "exuno.fewshot.options:DistillConfig",
    "fewshot eval": "exuno.fewshot.options:EvalConfig",
    "eval": "exuno.evaluate.options:EvalConfig",
    "probe": "exuno.probe.options:ProbeConfig",
}
"""What a stage may be, the verbs that leave a run directory with a result, and their configurations."""
STUDY = "study"
"""The hole for the folder of the study."""
_HOLE = re.compile(r"(\w+:)?\{([\w-]+)\}")
_NAME = re.compile(r"[\w-]+")


@dataclass(frozen=True)
class Stage:
    """A command line with holes."""

    name: str
    verb: str
    args: tuple[str, ...]
    needs: tuple[str, ...]
    """The stages that it refers to, directly or through others."""


@dataclass(frozen=True)
class Axis:
    """An option and its values; without a stage it is one of all stages that have it."""

    stage: str | None
    flag: str
    values: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.stage}.{self.flag}" if self.stage else self.flag


@dataclass(frozen=True)
class Cell:
    """One command of the grid."""

    name: str
    """Of its folder."""
    stage: str
    verb: str
    args: tuple[str, ...]
    values: Mapping[str, str]
    """Name of each axis that it depends on -> value."""
    needs: tuple[str, ...]
    """Names of the cells that must be done before."""
    own: tuple[str, ...] = ()
    """Names of the axes whose values stand in its command, not only in those of the cells that it needs."""


def read_stages(lines: Sequence[str]) -> list[Stage]:
    """The stages of a study.

    Raises:
        ExunoError: none, an unknown verb, a name given twice, or a hole that no earlier stage fills.
    """
    stages: dict[str, Stage] = {}
    for line in lines:
        words = split(line)
        name = words.pop(0)[:-1] if words and words[0].endswith(":") else None
        two = " ".join(words[:2])
        verb = two if two in STAGES else (words or [""])[0]
        if verb not in STAGES:
            raise ExunoError(f"'{line}' is no stage of a study", f"A stage begins with one of: {', '.join(STAGES)}.")
        name = name or verb.split()[-1]
        if name == STUDY or not _NAME.fullmatch(name):
            raise ExunoError(
                f"a stage is named '{name}'",
                "Choose a name of letters, digits, - and _; {study} is the folder of the study.",
            )
        if name in stages:
            raise ExunoError(f"two stages are named '{name}'", f'Name one of them: "again: {line}".')
        direct = dict.fromkeys(hole for _, hole in _HOLE.findall(line) if hole != STUDY)
        for hole in direct:
            if hole not in stages:
                raise ExunoError(
                    f"'{line}' refers to {{{hole}}}, which is no earlier stage",
                    f"The stages before it: {', '.join(stages) or 'none'}.",
                )
        needs = dict.fromkeys(itertools.chain.from_iterable((*stages[hole].needs, hole) for hole in direct))
        stages[name] = Stage(name, verb, tuple(words[len(verb.split()) :]), tuple(needs))
    if not stages:
        raise ExunoError("a study of no stages", 'Give --stages "teach digits", or the name of a preset.')
    return list(stages.values())


def read_axes(texts: Sequence[str], stages: Sequence[Stage]) -> list[Axis]:
    """Axes from ``STAGE.FLAG=V1,V2`` and ``FLAG=V1,V2``.

    Raises:
        ExunoError: a text without ``=`` or values, a value with a hole, an axis or a value given twice, or an option
            that no stage has.
    """
    axes: dict[str, Axis] = {}
    for text in texts:
        left, equals, right = text.partition("=")
        values = tuple(value.strip() for value in right.split(","))
        if not equals or not left.strip("- ") or "" in values:
            raise ExunoError(f"'{text}' is no axis", "Write STAGE.FLAG=VALUE,VALUE: distill.loss.temperature=1,2,3.")
        if _HOLE.search(right):
            raise ExunoError(f"'{text}' refers to a stage", "Only --stages can: write {NAME} into the command line.")
        for value in values:
            split(value)
        if len(set(values)) < len(values):
            raise ExunoError(f"'{text}' names a value twice", "Name each once.")
        axis = _axis(left, values, stages)
        if axis.name in axes:
            raise ExunoError(f"the axis {axis.name} is given twice", "Put all its values into one.")
        axes[axis.name] = axis
    return list(axes.values())


def _axis(left: str, values: tuple[str, ...], stages: Sequence[Stage]) -> Axis:
    key = left.strip("- ").replace("_", "-")
    for stage in stages:
        if key.startswith(f"{stage.name.replace('_', '-')}."):
            return Axis(stage.name, key[len(stage.name) + 1 :], values)
    if not any(has_option(stage.verb, key) for stage in stages):
        near = get_close_matches(key, {flag for stage in stages for flag in flags_of(stage.verb)}, 1)
        todo = f"Did you mean {near[0]}?" if near else "Write STAGE.OPTION, or an option that one of them has."
        raise ExunoError(f"no stage of this study has an option --{key}", todo)
    return Axis(None, key, values)


@cache
def flags_of(verb: str) -> frozenset[str]:
    """The options of a verb without their dashes, ``no-`` and groups with ``-`` for ``_``."""
    module, _, kind = STAGES[verb].partition(":")
    found = options_of(getattr(import_module(module), kind))
    return frozenset(option.flag.removeprefix("--") for option in found if not option.positional)


def has_option(verb: str, flag: str) -> bool:
    """Whether a verb has an option, given as ``optim.weight-decay``, also as its contrary, ``no-fresh``."""
    name = flag.replace("_", "-")
    return name in flags_of(verb) or name.removeprefix("no-") in flags_of(verb)


def find_axis(name: str, axes: Sequence[Axis]) -> Axis:
    """The axis that a user names, as typed or by its end.

    Raises:
        ExunoError: there is none, or several.
    """
    key = name.strip("- ").replace("_", "-")
    found = [axis for axis in axes if f".{axis.name.replace('_', '-')}".endswith(f".{key}")]
    if not found:
        raise ExunoError(
            f"'{name}' is no axis of this study", f"The axes: {', '.join(a.name for a in axes) or 'none'}."
        )
    if len(found) > 1:
        raise ExunoError(f"'{name}' may be {' or '.join(a.name for a in found)}", "Give the whole name.")
    return found[0]


def typed(flag: str, value: str) -> list[str]:
    """``flag`` and a value as words of a command line: ``true`` and ``false`` become ``--flag`` and ``--no-flag``; a
    value may be several words."""
    if value in ("true", "false"):
        group, _, last = flag.rpartition(".")
        return [f"--{group}{'.' if group else ''}{'' if value == 'true' else 'no-'}{last}"]
    return [f"--{flag}", *split(value)]


def split(line: str) -> list[str]:
    """The words of a command line.

    Raises:
        ExunoError: a quotation that does not end.
    """
    try:
        return shlex.split(line)
    except ValueError as error:
        raise ExunoError(f"{line} is not understood: {error}", "Quote it as a shell wants it.") from error


def make_cells(
    stages: Sequence[Stage],
    axes: Sequence[Axis],
    fixed: Sequence[Axis],
    folder: Path,
    content: Callable[[str, Sequence[str]], str] = lambda verb, words: "",
) -> list[Cell]:
    """All cells, each after those that it needs.

    Args:
        stages: in order.
        axes: what varies.
        fixed: options of one value, for every cell.
        folder: where the runs of the cells lie.
        content: (verb, words) -> a text that changes with what a command reads beside its words (presets,
            photographs): cells of other content are other cells.
    """
    cells: dict[tuple[str, tuple[str, ...]], Cell] = {}
    for stage in stages:
        mine = [axis for axis in axes if _concerns(axis, stage, stages)]
        for combination in itertools.product(*(axis.values for axis in mine)):
            values = dict(zip((axis.name for axis in mine), combination, strict=True))
            above = {name: cells[name, _place(name, values, stages, axes)] for name in stage.needs}
            words = list(stage.args)
            mine_here = [axis for axis in mine if _has(axis, stage)]
            for axis in (*mine_here, *(axis for axis in fixed if _has(axis, stage))):
                words += typed(axis.flag, values.get(axis.name, axis.values[0]))
            whole = (stage.verb, *words, *(cell.name for cell in above.values()), content(stage.verb, words))
            name = _name(stage, values, whole, axes)
            places = {STUDY: folder.parent} | {key: folder / cell.name for key, cell in above.items()}
            args = tuple(_HOLE.sub(lambda hole: _filled(hole, places), word) for word in words)  # noqa: B023
            needs = tuple(cell.name for cell in above.values())
            cells[stage.name, combination] = Cell(
                name, stage.name, stage.verb, args, values, needs, tuple(axis.name for axis in mine_here)
            )
    return list(cells.values())


def _has(axis: Axis, stage: Stage) -> bool:
    """Whether an axis stands in the command of a stage."""
    return axis.stage == stage.name or (axis.stage is None and has_option(stage.verb, axis.flag))


def _concerns(axis: Axis, stage: Stage, stages: Sequence[Stage]) -> bool:
    """Whether a stage, or one that it refers to, has the option of an axis."""
    chain = (stage.name, *stage.needs)
    if axis.stage is not None:
        return axis.stage in chain
    return any(one.name in chain and has_option(one.verb, axis.flag) for one in stages)


def _place(name: str, values: Mapping[str, str], stages: Sequence[Stage], axes: Sequence[Axis]) -> tuple[str, ...]:
    stage = next(one for one in stages if one.name == name)
    return tuple(values[axis.name] for axis in axes if _concerns(axis, stage, stages))


def _filled(hole: re.Match[str], places: Mapping[str, Path]) -> str:
    """``{teach}`` -> ``run:DIR``; ``poster:{poster}`` -> ``poster:DIR``; ``{study}`` -> its folder."""
    prefix = hole[1] or ("" if hole[2] == STUDY else "run:")
    return f"{prefix}{places[hole[2]]}"


def _name(stage: Stage, values: Mapping[str, str], whole: Sequence[str], axes: Sequence[Axis]) -> str:
    """Readable, and different where the command is, wherever the study lies."""
    varying = [values[axis.name] for axis in axes if axis.name in values and len(axis.values) > 1]
    short = [re.sub(r"[^\w.]+", "_", value.rsplit("/", 1)[-1].rsplit(":", 1)[-1])[:24] for value in varying]
    return "-".join((stage.name, *short, hashlib.sha256("\0".join(whole).encode()).hexdigest()[:8]))
