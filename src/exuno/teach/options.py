"""The configuration of ``exuno teach``. Plain frozen dataclasses; no torch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from exuno.engine.options import Augment, ClassOrder, Holdout, MelSpec, Optim, RunOptions
from exuno.engine.ranges import BUDGET, FROM_0, FROM_1, PIXELS, Range


@dataclass(frozen=True)
class TeachConfig:
    """Train a model on labelled data."""

    OFTEN: ClassVar[str] = (
        "model data data_root pretrained size epochs batch_size budget label_smoothing augment.flip "
        "augment.resized_crop optim.name optim.lr optim.weight_decay run_dir seed devices workers smoke dry_run"
    )
    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "exuno teach digits --label-smoothing 0.1",
        "exuno teach transfer-resnet18 --data folder:my-images --run-dir runs/mine",
        "exuno teach cifar10-resnet56 --data-root DATA --budget 0.1",
    )

    model: str
    """Model spec: exuno:NAME, timm:NAME, torchvision:NAME, or the weights to start from (run:DIR, file:PATH)."""
    data: str
    """What to train and test on."""
    data_root: Path | None = None
    """Folder that holds the benchmark data sets."""
    classes: ClassOrder = "auto"
    """How classes of the test images, and of the weights to start from, are matched with those of the training images:
    by their names where both have names (auto), by name alone, or by number: label 0 is the first class, whatever the
    names."""
    pretrained: bool = False
    """Start from the published weights of a timm or torchvision model, with a new last layer."""
    size: Annotated[int | None, PIXELS] = None
    """Side of the images; default: that of the data."""
    epochs: Annotated[int, FROM_1] = 100
    """Times the training set is seen."""
    batch_size: Annotated[int, FROM_1] = 128
    """Images in one optimizer step, over all processes."""
    budget: Annotated[float, BUDGET] = 1.0
    """Scales the length of the training and its schedule together."""
    label_smoothing: Annotated[float, Range(low=0, below=1, wanted="a number from 0 to below 1; 0.1 is usual")] = 0.0
    """a in (1 - a) NLL + a mean(-log p)."""
    evaluations: Annotated[int, FROM_0] = 10
    """How often the model is tested on the way."""
    mel: MelSpec = field(default_factory=MelSpec)
    augment: Augment = field(default_factory=Augment)
    optim: Optim = field(default_factory=Optim)
    held: tyro.conf.OmitArgPrefixes[Holdout] = field(default_factory=Holdout)
    run: tyro.conf.OmitArgPrefixes[RunOptions] = field(default_factory=RunOptions)
