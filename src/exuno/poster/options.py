"""The configuration of ``exuno poster``. Plain frozen dataclasses; no torch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from exuno.engine.idle import Acts
from exuno.engine.options import ClassOrder, Holdout, Optim, RunOptions
from exuno.engine.ranges import FRACTION, FROM_0, FROM_1, POSITIVE, Range
from exuno.registry import Registry

algorithms = Registry("algorithm", "--algorithm", "exuno.poster.algorithms")
"""Ways to tell how good a poster is."""


@dataclass(frozen=True)
class Inner:
    """How a network learns from the poster, in the distillation and in its test.

    The distillation adds Adam's epsilon before the bias correction, as the published code does there; the test uses
    torch's Adam, which adds it after.
    """

    name: Literal["adam", "sgd"] = "adam"
    """Optimizer of the inner loop."""
    lr: Annotated[float, POSITIVE] = 1e-3
    """Its learning rate."""
    momentum: Annotated[float, FRACTION, Acts(lambda inner: inner.name == "sgd", "--inner.name is {name}")] = 0.9
    """Momentum of sgd."""
    weight_decay: Annotated[float, FROM_0] = 0.0
    """Weight decay, added to the gradient (the published sgd: 5e-4)."""
    batch: Annotated[int | None, FROM_1] = None
    """Patches of an inner step, drawn anew for each; default: all, at most 128."""
    augment: str = "flip_rotate"
    """Differentiable augmentation: names of flip, rotate, scale, crop, color, cutout joined by _, of which each batch
    gets one; all: in front (all:flip_rotate) applies every one; none."""


@dataclass(frozen=True)
class Unroll:
    """Random truncated backpropagation through time (RaT-BPTT, arXiv 2311.07025, algorithm 1).

    Gradient matching takes its moment of the training between `least` and `total`; distribution matching has none.
    """

    window: Annotated[int, Range(low=1, wanted="at least 1 inner step")] = 60
    """Last inner steps, through which the gradient is taken."""
    adapt: Annotated[int, FROM_0] = 0
    """Makes the window up to so many steps longer where the inner gradient changes much, and shorter where it changes
    little (AT-BPTT, arXiv 2510.04838), at the price of `total` inner steps more; 0: always `window`."""
    total: int = 200
    """The most inner steps of an outer step: steps before the window are drawn from `least` .. total - window."""
    least: int = 0
    """The fewest inner steps before the window."""
    backend: Literal["checkpointed", "reverse"] = "checkpointed"
    """How the gradient is taken, exactly: reverse keeps the graphs of all inner steps, checkpointed one at a time."""
    runs: Annotated[int, FROM_1] = 1
    """Independent inner runs whose gradients an outer step averages; processes share them."""
    clip: Annotated[float, FROM_0] = 2.0
    """Largest norm of the outer gradient, as a multiple of its moving average; 0 does not clip."""
    clip_decay: Annotated[float, FRACTION, Acts(lambda unroll: unroll.clip, "--unroll.clip is 0")] = 0.9
    """Decay of that moving average."""


@dataclass(frozen=True)
class Evaluation:
    """How a poster is tested: fresh networks trained on it from scratch, as its file says it, rounded."""

    networks: Annotated[int, FROM_1] = 8
    """Networks of the test at the end."""
    steps: tuple[int, ...] = (300, 600, 1000, 2000)
    """Training steps after which they are tested; which of them counts is chosen on held-out data."""
    holdout: Annotated[float, Range(low=0, below=1, wanted="a share from 0 to below 1")] = 0.1
    """Share of the training set held out; the poster and the number of steps are chosen on it, never on test data."""
    trials: Annotated[int, FROM_1] = 2
    """Networks that judge the poster on the way."""
    baselines: Annotated[int, FROM_0] = 3
    """Draws of each baseline of real images at the same number of pixels; 0 leaves them out."""


@dataclass(frozen=True)
class PosterConfig:
    """Distill a labelled data set into one poster."""

    OFTEN: ClassVar[str] = (
        "data data_root ipc canvas bytes bits size patch model algorithm labels init steps budget optim.lr run_dir "
        "seed devices smoke dry_run"
    )
    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "exuno poster digits",
        "exuno poster digits --ipc 0.2 --budget 0.5",
        "exuno poster --data folder:my-images --size 32 --ipc 1",
    )

    data: str
    """What to distill and test on."""
    data_root: Path | None = None
    """Folder that holds the benchmark data sets."""
    classes: ClassOrder = "auto"
    """How classes of the test images are matched with those of the training images: by their names where both have
    names (auto), by name alone, or by number: label 0 is the first class, whatever the names."""
    ipc: float | None = None
    """Budget in images per class: pixels / (classes x pixels of an image). With a preset, a budget that is typed takes
    the place of the preset's, and of the patches and area that belong to that."""
    canvas: str | None = None
    """Budget as the size of the poster, WIDTHxHEIGHT in pixels."""
    bytes: int | None = None
    """Budget in bytes of pixels, their palette and learned labels together, as they are packed."""
    bits: Literal[2, 4, 8] = 8
    """Of a pixel in each channel of the poster, or of its number in the palette; fewer than 8 are rounded in every step
    of the distillation."""
    channels: Literal[1, 3] | None = None
    """Of the poster: 1 is gray, 3 are colours; default: 1 where the images are gray, whatever their files, else 3."""
    palette: bool = False
    """Pixels are numbers of 2^bits colours that all share, counted in --bytes, in the place of levels of each channel:
    one number for all channels."""
    chroma: Literal["full", "half"] = "full"
    """Width and height of the colours: those of the light (full), or half of them (half), so that a pixel takes 1.5
    numbers in the place of 3."""
    grid: str | None = None
    """Classes as COLUMNSxROWS; default: the most nearly square one."""
    patch: int | None = None
    """Side of a patch in poster pixels, enlarged to the image where smaller; default: the image's where it fits."""
    patches: str | None = None
    """Patches as COLUMNSxROWS; default: every quarter of a patch."""
    area: str | None = None
    """Class area as WIDTHxHEIGHT in pixels; neighbours that overlap fade into each other. Default: the grid's cell."""
    size: Annotated[int | None, Range(low=2, wanted="at least 2 pixels")] = None
    """Side of the images; default: that of the data."""
    model: str = "exuno:convnet"
    """Network that learns from the poster; any model spec."""
    algorithm: Annotated[str, algorithms] = "rat-bptt"
    """Backpropagation through training (rat-bptt), distribution matching (dm), gradient matching (gm), trajectory
    matching (mtt), or module:Name for one of your own (docs/poster.md)."""
    algorithm_options: tuple[str, ...] = ()
    """Options of that algorithm, as experts=20 steps=30 of mtt."""
    order: str = "features"
    """Order of the classes: features (neighbours look alike), clip (their names mean alike; needs exuno[clip]), given,
    or the numbers of all classes, row by row, joined by commas."""
    labels: Literal["fixed", "learned", "shared"] = "fixed"
    """Soft labels by the shares of the class areas in a patch (fixed), learned with the pixels as an array of cells
    (learned), or one learned for each class and mixed by those shares (shared)."""
    label_formula: Literal["paper", "reference"] = "paper"
    """Fixed labels: shares of areas (paper), or the softmax of the pixel counts (reference)."""
    label_cells: float = 1.0
    """Learned labels: size of the label array in cells for each class."""
    label_bits: Literal[2, 4, 8, 16] = 16
    """Learned labels: bits of a number of their array; fewer than 16 are rounded in every step of the distillation."""
    label_lr_scale: Annotated[float, POSITIVE] = 1.0
    """Learned labels: the learning rate is --optim.lr divided by this."""
    init: Literal["noise", "real"] = "noise"
    """What the poster starts from: Gaussian class areas, or real images of the classes."""
    zca: bool = False
    """Whiten the images (ZCA with regularisation 0.1), and distill in that space."""
    zca_from: Literal["data", "spectrum"] = "data"
    """What --zca knows: the covariance of the training images, whose matrix belongs to the poster (data), or the
    spectrum of natural images, a formula that takes no bytes (spectrum)."""
    real_augment: str = "flip_rotate"
    """Augmentation of the real batch; see inner.augment."""
    steps: Annotated[int, FROM_1] = 1000
    """Outer steps: updates of the poster."""
    batch_size: Annotated[int, FROM_1] = 500
    """Real images in an outer step."""
    budget: Annotated[float, Range(above=0, wanted="a positive number; 0.1 is a tenth of the distillation")] = 1.0
    """Scales the length of the distillation."""
    evaluations: Annotated[int, FROM_1] = 10
    """How often the poster is tested on held-out data on the way."""
    inner: Inner = field(default_factory=Inner)
    unroll: Unroll = field(default_factory=Unroll)
    eval: Evaluation = field(default_factory=Evaluation)
    optim: Optim = field(default_factory=lambda: Optim(schedule="constant"))
    held: tyro.conf.OmitArgPrefixes[Holdout] = field(default_factory=Holdout)
    run: tyro.conf.OmitArgPrefixes[RunOptions] = field(default_factory=RunOptions)
