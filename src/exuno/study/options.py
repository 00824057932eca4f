"""The configuration of ``exuno study``. Plain frozen dataclasses; no torch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from exuno.engine.idle import Acts
from exuno.engine.options import RunOptions, trackers
from exuno.engine.ranges import SEED, Range


@dataclass(frozen=True)
class StudyRun:
    """Where a study lives, and what is handed to every cell whose command has such an option."""

    run_dir: Path | None = None
    """Folder of the study. Default: runs/study-PRESET-HASH, the hash being that of the configuration."""
    resume: Literal["auto", "never"] = "auto"
    """auto: continue a study of the same configuration."""
    data_root: Path | None = None
    """Folder that holds the benchmark data sets."""
    seed: Annotated[int | None, SEED] = None
    """Seed of every cell; default: as its command has it. For several, make it an axis."""
    devices: str | None = None
    """Devices of each cell; default: as its command has it."""
    precision: Literal["auto", "no", "bf16", "fp16"] | None = None
    """Precision of each cell; default: as its command has it."""
    loader: Literal["torch", "dali"] | None = None
    """Loader of each cell; default: as its command has it."""
    workers: int | None = None
    """Processes that prepare the batches of each cell; default: as its command has it."""
    track: Annotated[tuple[str, ...], trackers] = ()
    """Where each cell sends its metrics, too."""
    smoke: bool = False
    """A corner of the grid, each cell on a sliver of the work."""
    no_images: bool = False
    """Write no image of the data or of a source, neither into the page nor into figures/, and show paths by their last
    names: for pages that go to others."""
    dry_run: bool = False
    """Print the resolved configuration, what the cells are and a command of each stage, check all commands, run
    nothing."""
    debug: bool = False
    """Show tracebacks."""

    @property
    def options(self) -> RunOptions:
        """Of the study's own run directory."""
        return RunOptions(
            run_dir=self.run_dir, resume=self.resume, devices=self.devices or "auto", no_images=self.no_images
        )


@dataclass(frozen=True)
class StudyConfig:
    """Run a grid of commands that share what they have in common, and put what they measured into a table."""

    OFTEN: ClassVar[str] = (
        "stages axes set tables rows columns metrics processes ray slurm run_dir data_root seed devices smoke dry_run"
    )
    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "exuno study label-smoothing-digits",
        'exuno study --stages "distill digits" --axes seed=0,1,2',
        'exuno study --stages "teach digits" "distill digits --teacher {teach}" --axes budget=0.1,1',
    )

    stages: tuple[str, ...]
    """Command lines without `exuno`, as typed: "teach digits" "distill --teacher {teach} …". {NAME} stands for the run
    of an earlier stage, {study} for the folder of the study; a stage is named after its verb, or by "NAME: VERB …"."""
    axes: tuple[str, ...] = ()
    """What varies: STAGE.FLAG=V1,V2,… for the commands of a stage, FLAG=V1,V2,… for all."""
    set: tuple[str, ...] = ()
    """What does not: STAGE.FLAG=VALUE or FLAG=VALUE, added to the commands of every cell; of an axis, its one value."""
    tables: str | None = None
    """Axis of which each value gets a table of its own; so do all that are neither rows, nor columns, nor seed."""
    rows: str | None = None
    """Axis of the rows; default: the first that is neither tables, nor columns, nor seed."""
    columns: str | None = None
    """Axis of the columns; default: one column."""
    metrics: tuple[str, ...] = ("top1",)
    """What is shown: a name of result.json, whole (student/top1) or its end."""
    threads: Annotated[int, Range(low=1, wanted="1 or more")] = 1
    """Threads of the processor for each process of a cell. Part of the result: with another number, sums round
    differently."""
    processes: Annotated[int, Range(low=0, wanted="a number, or 0 for as many as this machine has room")] = 0
    """Cells at a time on this machine; 0: as many as its GPUs, or else its cores, have room for. With --slurm, jobs at
    a time in its queue; 0: all."""
    ray: str | None = None
    """Run the cells on Ray: local, auto (the cluster of this machine), or the address of a cluster."""
    slurm: str | None = None
    """Run the cells as jobs of Slurm, through submitit: the name of a partition, auto (the default one), or local
    (processes of this machine, to try it)."""
    slurm_minutes: Annotated[
        int, Range(low=1, wanted="1 or more"), Acts(lambda config: config.slurm, "--slurm is not asked for")
    ] = 240
    """Minutes that a job of Slurm asks for. A cell that takes longer goes on in the next one."""
    run: tyro.conf.OmitArgPrefixes[StudyRun] = field(default_factory=StudyRun)


LAYOUT = ("tables", "rows", "columns", "metrics")
"""The options that say how results are shown: a study may be shown otherwise without being another one."""
