"""The configuration of ``exuno selfsup``. Plain frozen dataclasses; no torch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from exuno.engine.options import Augment, Holdout, Optim, RunOptions
from exuno.engine.ranges import BUDGET, FROM_0, FROM_1, PIXELS
from exuno.registry import Registry
from exuno.synth.options import ImageOptions

methods = Registry("self-supervised method", "--method", "exuno.selfsup.methods")
"""What the network is trained to tell without labels."""


@dataclass(frozen=True)
class SelfsupConfig:
    """Train a network without labels and without a teacher, on patches of one photograph or on any other source."""

    OFTEN: ClassVar[str] = (
        "method settings source model data data_root patches fresh size epochs batch_size budget optim.lr run_dir seed "
        "devices smoke dry_run"
    )
    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "exuno selfsup rotnet --source my-photo.jpg --size 64",
        "exuno selfsup deepcluster-digits --source photo:coffee",
        "exuno selfsup bigan --source folder:my-images --model timm:resnet18",
    )

    source: tuple[str, ...]
    """What the network sees: one or more photographs (PATH, photo:NAME, noise:SEED), a folder, or a data spec."""
    method: Annotated[str, methods] = "rotnet"
    """The self-supervised method: rotnet, deepcluster, bigan, simclr, dino, or one of your own, module:Name."""
    settings: tuple[str, ...] = ()
    """Options of the method, such as clusters=1000 of deepcluster or codes=200 of bigan."""
    model: str = "exuno:convnet_4_128-batch"
    """Model spec: exuno:NAME, timm:NAME, torchvision:NAME, or the weights to start from (run:DIR, file:PATH)."""
    data: str | None = None
    """Labelled data on which the features are tested on the way, by nearest neighbours; they also give size, channels,
    mean and standard deviation. No label is learned from."""
    data_root: Path | None = None
    """Folder that holds the benchmark data sets."""
    patches: Annotated[int, FROM_1] = 50_000
    """Patches of the photographs that make one epoch; a data set has its own number."""
    fresh: bool = False
    """New patches in every epoch instead of the same ones again; a source that is a data set has none to make."""
    size: Annotated[int | None, PIXELS] = None
    """Side of the images; default: that of the data, or 32."""
    epochs: Annotated[int, FROM_1] = 100
    """Times the source is seen."""
    batch_size: Annotated[int, FROM_1] = 128
    """Images in one optimizer step, over all processes."""
    budget: Annotated[float, BUDGET] = 1.0
    """Scales the length of the training and its schedule together."""
    evaluations: Annotated[int, FROM_0] = 4
    """How often the features are tested on the way."""
    augment: Augment = field(default_factory=Augment)
    synth: ImageOptions = field(default_factory=lambda: ImageOptions(size=0))
    optim: Optim = field(default_factory=Optim)
    held: tyro.conf.OmitArgPrefixes[Holdout] = field(default_factory=Holdout)
    run: tyro.conf.OmitArgPrefixes[RunOptions] = field(default_factory=RunOptions)
