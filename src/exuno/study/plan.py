"""What a study stands for: its stages, axes and layout, and the commands of its cells. No torch."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from exuno.engine.configuration import default_folder, without
from exuno.engine.errors import ExunoError
from exuno.engine.ranges import check_fields
from exuno.presets import Preset, to_dict
from exuno.study.content import content
from exuno.study.grid import Axis, Cell, Stage, find_axis, has_option, make_cells, read_axes, read_stages
from exuno.study.options import LAYOUT, StudyConfig
from exuno.study.table import Layout, is_seed
from exuno.study.worker import Job


@dataclass(frozen=True)
class Plan:
    """A study that has been understood."""

    stages: list[Stage]
    axes: list[Axis]
    fixed: list[Axis]
    layout: Layout

    def cells(self, folder: Path) -> list[Cell]:
        """All cells, their runs in ``folder``."""
        return make_cells(self.stages, self.axes, self.fixed, folder, content)


def plan(config: StudyConfig) -> Plan:
    """Reads stages, axes and layout.

    Raises:
        ExunoError: whatever in them is not understood.
    """
    check_fields(config)
    if config.ray is not None and config.slurm is not None:
        raise ExunoError("--ray and --slurm are two places for the cells", "Give one of them.")
    if config.processes and config.ray not in (None, "local"):
        raise ExunoError(f"--processes says nothing about the cluster at {config.ray}", "Leave it out.")
    stages = read_stages(config.stages)
    axes, given = read_axes(config.axes, stages), read_axes(config.set, stages)
    for axis in given:
        if len(axis.values) > 1:
            raise ExunoError(f"--set {axis.name} has {len(axis.values)} values", "Give one, or make it one of --axes.")
    set_to = {axis.name: axis for axis in given}
    axes = [set_to.pop(axis.name, axis) for axis in axes]
    fixed = [*common(config, axes), *set_to.values()]
    if config.run.smoke:
        kept = find_axis(config.columns, axes) if config.columns else None
        axes = [axis if axis == kept else replace(axis, values=axis.values[:1]) for axis in axes]
    return Plan(stages, axes, fixed, lay_out(config, axes))


def lay_out(config: StudyConfig, axes: Sequence[Axis]) -> Layout:
    """Which axis goes where.

    Raises:
        ExunoError: an axis that there is not, or one in two places.
    """
    named = [find_axis(name, axes) if name else None for name in (config.tables, config.rows, config.columns)]
    asked = [axis for axis in named if axis]
    if len({axis.name for axis in asked}) < len(asked):
        raise ExunoError("an axis is asked for in two places", "Give --tables, --rows and --columns different axes.")
    rest = [axis for axis in axes if axis not in asked and not is_seed(axis)]
    rows = named[1] or (rest.pop(0) if rest else None)
    return Layout((*([named[0]] if named[0] else []), *rest), rows, named[2], config.metrics)


def common(config: StudyConfig, axes: Sequence[Axis]) -> list[Axis]:
    """Options of the study that every cell gets.

    Raises:
        ExunoError: one of them is an axis, too.
    """
    run = config.run
    given = {"data-root": run.data_root and shlex.quote(str(run.data_root)), "seed": run.seed}
    given |= {"precision": run.precision, "loader": run.loader, "smoke": "true" if run.smoke else None}
    fixed = [Axis(None, name, (str(value),)) for name, value in given.items() if value is not None]
    taken = {axis.name for axis in axes}
    for axis in fixed:
        if axis.name in taken:
            raise ExunoError(f"{axis.name} is an axis of this study", f"Give it as --set {axis.name}={axis.values[0]}.")
    return fixed


def folder_of(config: StudyConfig, preset: Preset | None) -> Path:
    """Where the study lives."""
    named = without(to_dict(config), LAYOUT)
    return config.run.run_dir or default_folder("study", preset.name if preset else None, named)


def job_of(cell: Cell, config: StudyConfig, folder: Path) -> Job:
    """The command of a cell with what does not shape its result."""
    run, extra = config.run, []
    for name, value in (("devices", run.devices), ("workers", run.workers), ("track", " ".join(run.track) or None)):
        if value is not None and has_option(cell.verb, name):
            extra += [f"--{name}", *str(value).split()]
    if run.no_images and has_option(cell.verb, "no-images"):
        extra.append("--no-images")
    args = (*cell.verb.split(), *cell.args, "--run-dir", str(folder / "cells" / cell.name), *extra)
    return Job(cell.name, args, str(folder / "logs" / f"{cell.name}.log"))
