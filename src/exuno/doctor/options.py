"""The configuration of ``exuno doctor``. Plain frozen dataclasses; no torch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import tyro

from exuno.engine.options import ClassOrder, Holdout
from exuno.synth.options import ImageOptions


@dataclass(frozen=True)
class DoctorConfig:
    """Examine a teacher before training from it: accuracy, normalisation, calibration, label smoothing, and what it
    makes of a photograph. Or rank photographs as sources for it."""

    OFTEN: ClassVar[str] = (
        "data data_root split size claimed source sources patches seed run_dir devices workers smoke dry_run"
    )
    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "exuno doctor teach:digits",
        "exuno doctor runs/mine --data folder:my-images",
        "exuno doctor runs/mine --sources a.jpg b.jpg",
    )

    teacher: tyro.conf.Positional[str] = "teach:digits"
    """Trained model: run:DIR (or the folder itself), file:PATH, timm:NAME, torchvision:NAME, hf-hub:NAME, or
    teach:PRESET (train it first)."""
    data: str | None = None
    """Labelled data; default: those that the run or preset of the teacher was trained on."""
    data_root: Path | None = None
    """Folder that holds the benchmark data sets."""
    split: str = "test"
    """Which part of the data."""
    classes: ClassOrder = "auto"
    """How classes of the data are matched with those of the teacher: by their names where both have names (auto), by
    name alone, or by number: label 0 is the first class, whatever the names."""
    held: tyro.conf.OmitArgPrefixes[Holdout] = field(default_factory=Holdout)
    size: int | None = None
    """Side of the images; default: that of the data."""
    claimed: float | None = None
    """Accuracy that the teacher is said to have, as a fraction; default: what its run measured on the same data."""
    source: str | None = None
    """The photograph (PATH, photo:NAME, noise:SEED) that is to be distilled from. Default: photo:astronaut."""
    sources: tuple[str, ...] = ()
    """Two photographs or more, to rank instead of examining the teacher; type the teacher before them."""
    patches: int = 2000
    """Patches made of a photograph, as exuno distill makes them with default augmentation."""
    synth: ImageOptions = field(default_factory=lambda: ImageOptions(size=0))
    seed: int = 0
    """Seed of the patches, and of a teacher that is trained first."""
    run_dir: Path | None = None
    """Folder of the run. Default: runs/doctor-HASH, the hash being that of the configuration."""
    devices: Literal["auto", "cpu"] = "auto"
    """auto (a GPU if there is one) or cpu."""
    workers: int = 0
    """Processes that decode images; 0 decodes them in this one."""
    smoke: bool = False
    """The same path from end to end in seconds, on a sliver of the work."""
    no_images: bool = False
    """Write no image of the data or of a source, neither into the page nor into figures/, and show paths by their last
    names: for pages that go to others."""
    dry_run: bool = False
    """Print the resolved configuration, measure nothing."""
    debug: bool = False
    """Show tracebacks."""
