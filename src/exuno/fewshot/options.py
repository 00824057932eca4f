"""The configurations of ``exuno fewshot``. Plain frozen dataclasses; no torch."""

from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeVar

import tyro

from exuno.engine.check import check_optim, check_run
from exuno.engine.idle import Acts
from exuno.engine.options import Measuring, Optim, RunOptions, Views
from exuno.engine.ranges import (
    BUDGET,
    FRACTION,
    FROM_0,
    FROM_1,
    PIXELS,
    SEED,
    TEMPERATURE,
    Range,
    check_fields,
    require,
)
from exuno.engine.session import SMOKE_BATCH
from exuno.features import Count, FeatureName
from exuno.registry import Registry

Mode = Literal["paper", "reference"]
"""A loss as the paper defines it, or as the published code computes it."""
Protocol = Literal["standard", "smkd", "reference"]
"""15 queries of each class and exuno's own draws; or drawn as the published code of SMKD does: all images but the
support, as many as the smallest class has, or exactly its 600 - k, whatever the size of a class."""
heads = Registry("classifier", "--head", "exuno.fewshot.heads")


@dataclass(frozen=True)
class Classes:
    """Which classes are trained on, which choose, and which are new."""

    split: str = "auto"
    """auto: the published lists of a benchmark, the train, val and test folders of a folder: if their classes differ,
    else 64, 16 and 20 % of the classes, drawn by --seed; or a CSV file with the columns class,split or
    file,class,split; or all: every class is trained on and none is held back (of Omniglot, every character of the
    background set)."""
    turns: bool = False
    """Quarter turns of a class are three further classes, as is usual for Omniglot."""
    mirrored: bool = False
    """Mirror images of a class are a further class; with --turns, as many again."""
    hold_turns: Annotated[
        bool, Acts(lambda classes: classes.turns, "--turns is off", "Leave it out, or add --turns.")
    ] = False
    """With --turns: train on upright and half turned classes only; the same classes after a quarter turn are the
    validation classes, by which a recipe can be chosen where the data have no others."""


@dataclass(frozen=True)
class Mask:
    """Which patches of a global view the student does not see."""

    shape: Literal["block", "random"] = "block"
    """block: rectangles (BEiT); random: single patches."""
    ratio: tuple[float, ...] = (0.0, 0.3)
    """Shares of masked patches; each view draws one of them."""
    spread: tuple[float, ...] = (0.0, 0.2)
    """How far each share varies, uniformly, either way."""
    aspect: Annotated[
        float,
        Range(above=0, high=1, wanted="a number above 0, at most 1"),
        Acts(lambda mask: mask.shape == "block", "--mask.shape is {shape}"),
    ] = 0.3
    """block: aspect ratios lie between this and its inverse."""


@dataclass(frozen=True)
class Head:
    """Projection of tokens to the outputs that student and teacher compare."""

    outputs: Annotated[int, FROM_1] = 8192
    """Outputs of the [CLS] token."""
    patch_outputs: Annotated[
        int, FROM_1, Acts(lambda head: not head.shared, "--head.shared is on", "Leave it out, or add --head.no-shared.")
    ] = 8192
    """Outputs of a patch token; only for separate heads."""
    hidden: Annotated[int, FROM_1] = 2048
    """Width of the hidden layers."""
    bottleneck: Annotated[int, FROM_1] = 256
    """Width before the last layer."""
    layers: Annotated[int, FROM_1] = 3
    """Layers of the perceptron."""
    norm: Literal["none", "batch"] = "none"
    """batch: batch normalisation of the hidden layers by the batch at hand, [CLS] and patch tokens apart, each process
    its own: differences between images show at once, which short trainings need."""
    shared: bool = True
    """[CLS] and patch tokens share the last layer."""
    unit_norm: bool = False
    """The rows of the last layer keep the length 1 (steadier)."""
    init: Mode = "paper"
    """How the last layer starts: paper, from a normal distribution of deviation 0.02 like the layers before it;
    reference, from that of nn.Linear, uniform up to 1 / sqrt(bottleneck), as the published code leaves it. Its rows
    are divided by their length, so only the pace at which they turn differs."""


@dataclass(frozen=True)
class Teacher:
    """The teacher: a moving average of the student, centred and sharpened."""

    momentum: Annotated[float, Range(low=0, high=1)] = 0.996
    """Share of itself that it keeps at first; rises to 1 along a cosine."""
    temperature: Annotated[tuple[float, float], TEMPERATURE] = (0.04, 0.07)
    """Of its [CLS] outputs, at first and after the warm-up."""
    patch_temperature: Annotated[tuple[float, float], TEMPERATURE] = (0.04, 0.07)
    """Of its patch outputs, likewise."""
    warmup: Annotated[float, Range(low=0, high=1, wanted="a fraction from 0 to 1")] = 0.1
    """Fraction of the training over which the temperatures rise linearly."""
    student_temperature: Annotated[float, TEMPERATURE] = 0.1
    """Temperature of the student."""
    centre: Annotated[float, FRACTION] = 0.9
    """Momentum of the centres."""


@dataclass(frozen=True)
class LossWeights:
    """Weights of the loss terms."""

    cls: float = 0.0
    """[CLS] outputs of two views of one image agree (DINO)."""
    masked: float = 0.0
    """Masked patches are told from the others (iBOT; lambda3 of SMKD)."""
    class_level: float = 0.0
    """[CLS] outputs agree within a class (lambda1 of SMKD)."""
    patch_level: float = 0.0
    """Matching patches agree within a class (lambda2 of SMKD)."""
    supervised: float = 0.0
    """Cross-entropy of a linear layer on the student's [CLS] token."""
    by_attention: bool = False
    """patch_level: patches count by the attention that [CLS] pays them, not alike."""


@dataclass(frozen=True)
class Validation:
    """Few-shot accuracy on validation classes during the training."""

    way: Annotated[int, Range(low=2, wanted="2 classes or more")] = 5
    """Classes of an episode, also of the test at the end."""
    shot: Annotated[int, FROM_1] = 1
    """Labelled images of each class."""
    episodes: Annotated[int, FROM_1] = 1000
    """Episodes of a validation."""
    resize: int | None = None
    """Short side of a validation image before the centre crop of --size; default: 8/7 of it for larger images."""
    keep: Literal["last", "best"] = "last"
    """Which weights are delivered; best needs validation classes."""


@dataclass(frozen=True)
class PretrainConfig:
    """Phase 1: a vision transformer learns from images alone (iBOT)."""

    OFTEN: ClassVar[str] = (
        "data model data_root size epochs batch_size budget split turns drop_path views.local views.local_size "
        "mask.ratio optim.lr run_dir seed devices precision smoke dry_run"
    )
    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "exuno fewshot pretrain digits",
        "exuno fewshot pretrain mini-imagenet --data-root DATA --dry-run",
        "exuno fewshot pretrain digits --data folder:my-images --size 32",
    )

    data: str
    """What to train on: its training classes."""
    model: str = "exuno:vit_small_16"
    """exuno:vit_SIZE_PATCH or exuno:vit_WIDTH_DEPTH_HEADS_PATCH; or the weights to start from (run:DIR, file:PATH)."""
    data_root: Path | None = None
    """Folder that holds the benchmark data sets."""
    size: Annotated[int | None, PIXELS] = 224
    """Side of a global view and of the images of a test."""
    store: Annotated[int | None, PIXELS] = None
    """Side to which images are resized before the views are cut out; default: that of the data."""
    epochs: Annotated[int, FROM_1] = 1600
    """Times the training set is seen."""
    batch_size: Annotated[int, FROM_1] = 512
    """Images in one optimizer step, over all processes."""
    budget: Annotated[float, BUDGET] = 1.0
    """Scales the length of the training and its schedules together."""
    evaluations: Annotated[int, FROM_0] = 32
    """How often validation classes are tested on the way."""
    drop_path: Annotated[float, Range(low=0, below=1, wanted="a rate from 0 to below 1")] = 0.1
    """Stochastic depth of the student."""
    freeze_last: Annotated[float, Range(low=0, wanted="0 epochs or more")] = 1.0
    """Epochs during which the last layer of the head stays as it is."""
    mode: Mode = "paper"
    """Losses as in the papers, or as the published code computes them."""
    gather: bool = False
    """Positives are looked for in the batches of all processes, not only in one's own."""
    classes: tyro.conf.OmitArgPrefixes[Classes] = field(default_factory=Classes)
    views: Views = field(default_factory=Views)
    mask: Mask = field(default_factory=Mask)
    head: Head = field(default_factory=Head)
    teacher: Teacher = field(default_factory=Teacher)
    weights: LossWeights = field(default_factory=lambda: LossWeights(cls=1.0, masked=1.0))
    validation: Validation = field(default_factory=Validation)
    optim: Optim = field(
        default_factory=lambda: Optim(
            name="adamw", lr=5e-4, lr_end=1e-5, weight_decay=0.04, weight_decay_end=0.4, warmup=1 / 160, clip=3.0
        )
    )
    run: tyro.conf.OmitArgPrefixes[RunOptions] = field(default_factory=RunOptions)


@dataclass(frozen=True)
class DistillConfig(PretrainConfig):
    """Phase 2: images of one class teach each other (SMKD)."""

    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "exuno fewshot distill digits",
        "exuno fewshot distill digits --seed 1",
        "exuno fewshot distill mini-imagenet --data-root DATA --dry-run",
    )

    model: str = ""
    """Where to start: pretrain:PRESET (trained first, if it is not there), run:DIR of phase 1, or file:PATH."""
    epochs: Annotated[int, FROM_1] = 150
    """Times the training set is seen."""
    weights: LossWeights = field(default_factory=lambda: LossWeights(class_level=1.0, patch_level=1.0))


@dataclass(frozen=True)
class EvalConfig(Measuring):
    """Few-shot accuracy of features on classes that were not trained on, beside raw pixels and a random network."""

    OFTEN: ClassVar[str] = (
        "data data_root part split way shot episodes protocol head features blocks views size baselines seed "
        "run_dir devices workers smoke dry_run"
    )
    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "exuno fewshot eval runs/mine",
        "exuno fewshot eval timm:vit_small_patch16_224.dino --data folder:my-images",
        "exuno fewshot eval runs/mine pixels --way 3 --shot 1 5 --head prototype cosine",
    )

    models: tyro.conf.Positional[tuple[str, ...]]
    """Model specs or folders of runs; `pixels` for the raw pixels, `random:exuno:NAME` for random weights, FILE.hdf5
    for features that another program took (of SMKD's evaluation)."""
    data: str | None = None
    """Data spec; default: what the first run was trained on, of files of features these themselves."""
    data_root: Path | None = None
    """Folder that holds the benchmark data sets."""
    part: Literal["train", "val", "test"] = "test"
    """Which classes."""
    classes: tyro.conf.OmitArgPrefixes[Classes] = field(default_factory=Classes)
    way: Annotated[int, Range(low=2, wanted="2 classes or more")] = 5
    """Classes of an episode."""
    shot: tuple[int, ...] = (1, 5)
    """Labelled images of each class; each number gives a column."""
    queries: Annotated[int | None, FROM_1] = None
    """Images of each class to classify; default: 15, by the protocol smkd all others, by reference 600 - shot."""
    episodes: Annotated[int, FROM_1] = 10_000
    """Number of episodes."""
    protocol: Protocol = "standard"
    """How episodes are drawn: standard, a function of the seed and the number of each; smkd, as in the published code,
    with all images of a class that are not learned from; reference, so too, but 600 - shot of each class, as there."""
    head: Annotated[tuple[str, ...], heads] = ("prototype",)
    """Classifiers on the features."""
    neighbours: Annotated[int, FROM_1, Acts(lambda config: "knn" in config.head, "--head knn is not asked for")] = 1
    """knn: neighbours that vote."""
    features: FeatureName = "auto"
    """auto: cls+patch for a vision transformer of exuno, the input of the last layer (last) for any other network."""
    blocks: Annotated[int, FROM_1] = 1
    """cls+patch and cls: last blocks whose [CLS] tokens are joined."""
    views: Count = 1
    """Of each image, whose features are averaged: 1, the centre; 2, with its mirror image; 5, with the four corners;
    10, all these mirrored, too."""
    size: Annotated[int | None, FROM_1] = None
    """Side of the images; default: the input size of the model."""
    resize: Annotated[int | None, FROM_1] = None
    """Short side before the centre crop; default: 8/7 of the size for photographs, the size for others."""
    baselines: bool = True
    """Also raw pixels and a network of random weights."""
    cache: Path | None = None
    """Folder of cached features; default: ~/.cache/exuno/features."""
    seed: Annotated[int, SEED] = 0
    """Seed of the episodes and of the random network."""
    run_dir: Path | None = field(default=None, kw_only=True)
    """Also write a run directory with result.json and a page."""


Config = TypeVar("Config", bound=PretrainConfig)


def check_config(config: PretrainConfig) -> None:
    """Raises ExunoError for numbers that no training can use."""
    check_fields(config)
    check_optim(config.optim)
    check_run(config.run)
    mask = config.mask
    require(len(mask.ratio) == len(mask.spread) > 0, "--mask.spread", mask.spread, "as many numbers as --mask.ratio")
    inside = all(s <= r <= 1 - s for r, s in zip(mask.ratio, mask.spread, strict=True))
    require(inside, "--mask.ratio", mask.ratio, "shares whose spread stays between 0 and 1")
    validation, size = config.validation, config.size
    good = validation.resize is None or validation.resize >= (size or 1)
    require(good, "--validation.resize", validation.resize, "at least --size, which is cut out of it")
    weights = astuple(replace(config.weights, by_attention=False))
    alone = not (config.gather and config.weights.patch_level and config.mode == "reference")
    require(
        alone, "--gather with --mode reference", "on", "--mode paper: the published patch loss knows one process only"
    )
    require(
        min(weights) >= 0 and max(weights) > 0, "--weights", config.weights, "weights from 0, at least one above it"
    )


def smoke(config: Config) -> Config:
    """The same training on a sliver of work."""
    views = replace(config.views, local=min(2, config.views.local))
    head = replace(
        config.head, outputs=min(256, config.head.outputs), patch_outputs=min(256, config.head.patch_outputs)
    )
    validation = replace(config.validation, episodes=min(20, config.validation.episodes))
    batch = min(SMOKE_BATCH, config.batch_size)
    return replace(config, batch_size=batch, evaluations=1, views=views, head=head, validation=validation)
