"""The configuration of ``exuno eval``. Plain frozen dataclasses; no torch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import tyro

from exuno.engine.options import ClassOrder, Holdout


@dataclass(frozen=True)
class EvalConfig:
    """Measure a model on labelled data: accuracy with its interval, each class, confusion, calibration, agreement. Or
    measure a poster: fresh networks trained on it, beside real images of as many pixels."""

    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "exuno eval runs/mine",
        "exuno eval weights.safetensors --data npz:my-data.npz",
        "exuno eval poster:runs/mine --networks 4",
    )

    model: tyro.conf.Positional[str]
    """Model spec: run:DIR (or the folder itself), file:PATH (or the file), timm:NAME, torchvision:NAME, hf-hub:NAME.
    Or poster:PATH (or the folder itself, or the run that made it)."""
    data: str | None = None
    """Data spec; default: what the run of the model was tested on, at its size and from its --data-root; of a poster,
    what it was distilled from."""
    data_root: Path | None = None
    """Folder that holds the benchmark data sets."""
    split: str = "test"
    """Which part of the data."""
    classes: ClassOrder = "auto"
    """How classes of the data are matched with those of the model: by their names where both have names (auto), by name
    alone, or by number: label 0 is the first class, whatever the names."""
    held: tyro.conf.OmitArgPrefixes[Holdout] = field(default_factory=Holdout)
    size: int | None = None
    """Side of the images; default: that of the data."""
    teacher: str | None = None
    """Another model, to measure agreement with."""
    networks: int | None = None
    """Of a poster: fresh networks to train on it; default 8."""
    steps: tuple[int, ...] | None = None
    """Of a poster: numbers of training steps after which to test; that of its protocol is always among them."""
    arch: tuple[str, ...] = ()
    """Of a poster: model specs of other networks to train on it, such as exuno:resnet20."""
    baselines: int | None = None
    """Of a poster: draws of each baseline of real images; default 3, 0 leaves them out."""
    seed: int = 0
    """Of a poster: seed of networks, batches and baselines."""
    run_dir: Path | None = None
    """Also write a run directory with result.json and a page."""
    devices: Literal["auto", "cpu"] = "auto"
    """auto (a GPU if there is one) or cpu."""
    workers: int = 0
    """Processes that decode images; 0 decodes them in this one."""
    smoke: bool = False
    """A sliver of the data."""
    no_images: bool = False
    """Write no image of the data or of a source, neither into the page nor into figures/, and show paths by their last
    names: for pages that go to others."""
    dry_run: bool = False
    """Print the resolved configuration, measure nothing."""
    debug: bool = False
    """Show tracebacks."""
