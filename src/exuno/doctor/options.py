"""The configuration of ``exuno doctor``. Plain frozen dataclasses; no torch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from exuno.data.images.photo import is_photo
from exuno.engine.errors import ExunoError
from exuno.engine.options import ClassOrder, Holdout, Measuring
from exuno.engine.ranges import PIXELS, SEED, Range, check_fields, require
from exuno.synth.options import ImageOptions


@dataclass(frozen=True)
class DoctorConfig(Measuring):
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
    """Trained model: run:DIR (or the folder itself), file:PATH, timm:NAME, torchvision:NAME, hf-hub:NAME,
    clip:ARCH/TAG?classes=cat,dog, or teach:PRESET (train it first)."""
    data: str | None = None
    """Labelled data; default: those that the run or preset of the teacher was trained on. --sources needs none."""
    data_root: Path | None = None
    """Folder that holds the benchmark data sets."""
    split: str = "test"
    """Which part of the data."""
    classes: ClassOrder = "auto"
    """How classes of the data are matched with those of the teacher: by their names where both have names (auto), by
    name alone, or by number: label 0 is the first class, whatever the names."""
    held: tyro.conf.OmitArgPrefixes[Holdout] = field(default_factory=Holdout)
    size: Annotated[int | None, PIXELS] = None
    """Side of the images; default: that of the data."""
    claimed: Annotated[float | None, Range(low=0, high=1, wanted="a fraction from 0 to 1, such as 0.9339")] = None
    """Accuracy that the teacher is said to have, as a fraction; default: what its run measured on the same data."""
    source: str | None = None
    """The photograph (PATH, photo:NAME, noise:SEED) that is to be distilled from. Default: photo:astronaut."""
    sources: tuple[str, ...] = ()
    """Two photographs or more, to rank instead of examining the teacher; type the teacher before them."""
    patches: Annotated[int, Range(low=2, wanted="at least 2; 2000 are usual")] = 2000
    """Patches made of a photograph, as exuno distill makes them with default augmentation."""
    synth: ImageOptions = field(default_factory=lambda: ImageOptions(size=0))
    seed: Annotated[int, SEED] = 0
    """Seed of the patches, and of a teacher that is trained first."""


TEACH = "teach:"


ASTRONAUT = "photo:astronaut"


MODELS = (TEACH, "run:", "file:", "timm:", "torchvision:", "hf-hub:", "clip:", "features:")


WEIGHTS = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".tar")


def check(config: DoctorConfig) -> None:
    """Raises ExunoError for values that make no sense."""
    check_fields(config)
    if config.sources and config.source is not None:
        raise ExunoError("--source says nothing beside --sources", "Name all photographs under --sources, or none.")
    for spec in photos(config):
        if config.sources and is_model(spec):
            raise ExunoError(f"'{spec}' is a model, not a photograph", "Put the teacher before --sources.")
        if not is_photo(spec):
            raise ExunoError(f"'{spec}' is no photograph", "Give the PATH of a picture, photo:NAME or noise:SEED.")
    alone = len(config.sources) == 1
    require(not alone, "--sources", " ".join(config.sources), "two photographs or more; one is looked at with --source")
    twice = [spec for spec in config.sources if config.sources.count(spec) > 1]
    if twice:
        raise ExunoError(f"--sources names {twice[0]} twice", "Name each photograph once.")
    if config.sources and config.claimed is not None:
        raise ExunoError("--claimed says nothing about --sources", "Leave one of them out.")


def photos(config: DoctorConfig) -> tuple[str, ...]:
    """The photographs that are looked at."""
    return config.sources or (config.source or ASTRONAUT,)


def is_model(spec: str) -> bool:
    """Whether a word is a run's folder, a file of weights or a model spec."""
    return spec.startswith(MODELS) or Path(spec).is_dir() or Path(spec).suffix.lower() in WEIGHTS
