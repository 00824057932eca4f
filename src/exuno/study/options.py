"""The configuration of ``exuno study``. Plain frozen dataclasses; no torch."""

from dataclasses import dataclass, field
from pathlib import Path

import tyro

from exuno.engine.options import RunOptions


@dataclass(frozen=True)
class StudyConfig:
    """Run a grid of commands that share what they have in common, and put what they measured into a table."""

    stages: tuple[str, ...]
    """Command lines without `exuno`, as typed: "teach digits" "distill --teacher {teach} …". {NAME} stands for the run
    of an earlier stage, {study} for the folder of the study; a stage is named after its verb, or by "NAME: VERB …"."""
    axes: tuple[str, ...] = ()
    """What varies: STAGE.FLAG=V1,V2,… for the commands of a stage, FLAG=V1,V2,… for all."""
    set: tuple[str, ...] = ()
    """What does not: STAGE.FLAG=VALUE or FLAG=VALUE, added to the commands of every cell."""
    tables: str | None = None
    """Axis of which each value gets a table of its own."""
    rows: str | None = None
    """Axis of the rows; default: the first that is neither tables, nor columns, nor seed."""
    columns: str | None = None
    """Axis of the columns; default: one column."""
    metrics: tuple[str, ...] = ("top1",)
    """What is shown: a name of result.json, whole (student/top1) or its end."""
    data_root: Path | None = None
    """Folder that holds the benchmark data sets; given to every stage."""
    threads: int = 1
    """Threads of the processor for each cell. Part of the result: with another number, sums round differently."""
    processes: int = 0
    """Cells at a time on this machine; 0: one for each GPU, or as many as the cores have room for."""
    ray: str | None = None
    """Run the cells on Ray: local, auto (the cluster of this machine), or the address of a cluster."""
    run: tyro.conf.OmitArgPrefixes[RunOptions] = field(default_factory=RunOptions)
