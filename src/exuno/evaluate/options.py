"""The configuration of ``exuno eval``. Plain frozen dataclasses; no torch."""

from dataclasses import dataclass, field
from pathlib import Path

import tyro

from exuno.engine.options import RunOptions


@dataclass(frozen=True)
class EvalConfig:
    """Measure a model on labelled data: accuracy with its interval, each class, confusion, calibration, agreement."""

    model: tyro.conf.Positional[str]
    """Model spec: run:DIR (or the folder itself), file:PATH (or the file itself), timm:NAME, torchvision:NAME, hf-
    hub:NAME.
    """
    data: str | None = None
    """Data spec; default: the data that the run of the model was tested on."""
    data_root: Path | None = None
    """Folder that holds the benchmark data sets."""
    split: str = "test"
    """Which part of the data."""
    teacher: str | None = None
    """Another model, to measure agreement with."""
    size: int | None = None
    """Side of the images; default: that of the data."""
    run: tyro.conf.OmitArgPrefixes[RunOptions] = field(default_factory=RunOptions)
