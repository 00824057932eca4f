"""What every command that trains or measures takes. Plain frozen dataclasses; no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from exuno.engine.idle import Acts
from exuno.engine.ranges import (
    AREAS,
    FRACTION,
    FROM_0,
    FROM_1,
    PIXELS,
    POSITIVE_PAIR,
    PROBABILITY,
    SEED,
    STRENGTHS,
    Range,
)
from exuno.registry import Registry

ClassOrder = Literal["auto", "by-name", "by-number"]
"""How the classes of data are matched with those of a model: see ``exuno.data.matching``."""

optimizers = Registry("optimizer", "--optim.name", "exuno.engine.optim")
"""What takes the steps."""
trackers = Registry("tracker", "--track", "exuno.engine.tracking")
"""Where metrics are sent on request."""


MILESTONES = Range(low=0, high=1, rising=True, wanted="rising fractions from 0 to 1")
BY_STEPS = Acts(
    lambda optim: optim.schedule == "step",
    "--optim.schedule is {schedule}",
    "Leave it out, or give --optim.schedule step.",
)
WITH_MOMENTUM = Acts(lambda optim: optim.name not in ("adam", "adamw"), "--optim.name {name} has betas in its place")


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Where a result lies, and how it is made: what every verb that measures or trains takes."""

    run_dir: Path | None = None
    """Folder of the run. Default: runs/VERB-PRESET-HASH, the hash being that of the configuration."""
    devices: Literal["auto", "cpu"] = "auto"
    """auto (a GPU if there is one) or cpu."""
    smoke: bool = False
    """The same path from end to end in seconds, on a sliver of the work."""
    no_images: bool = False
    """Write no image of the data or of a source, neither into the page nor into figures/, and show paths by their last
    names: for pages that go to others."""
    dry_run: bool = False
    """Print the resolved configuration and the cost estimate, run nothing."""
    debug: bool = False
    """Show tracebacks."""


@dataclass(frozen=True, kw_only=True)
class Measuring(Execution):
    """What verbs take that measure on images of their own."""

    workers: Annotated[int, FROM_0] = 0
    """Processes that decode images; 0 decodes them in this one."""


@dataclass(frozen=True, kw_only=True)
class RunOptions(Execution):
    """Where a run lives and how it is executed."""

    seed: Annotated[int, SEED] = 0
    """Seed of everything random."""
    devices: str = "auto"  # pyright: ignore[reportIncompatibleVariableOverride]
    """auto (a GPU if there is one), cpu, mps (of a Mac), or a number of processes to start on this machine (cpu:N on
    its processor)."""
    precision: Literal["auto", "no", "bf16", "fp16"] = "auto"
    """Precision of the forward pass. auto: bf16 on a GPU that has it, TF32 on another, plain float32 (no) on a
    processor. Losses stay float32, and posters."""
    deterministic: bool = False
    """On a GPU, take algorithms that give the same bits every time instead of the fastest; a processor always does."""
    sync_batchnorm: bool = False
    """With several processes, batch normalisation takes the statistics of the whole batch instead of each process's
    share (SyncBN)."""
    graphs: bool = True
    """On one GPU, record a step once and replay it (CUDA graphs) where that can be done."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile the steps of teach, distill and selfsup (torch.compile). auto: on a GPU, where steps are not recorded and
    enough of the training is left to repay it."""
    resume: str = "auto"
    """auto: continue an unfinished run of the same configuration; never; or the PATH of a checkpoint."""
    workers: Annotated[int, FROM_0] = 0
    """Processes that prepare batches; 0 prepares them in a thread of the training process. Does not change any
    sample."""
    loader: Literal["torch", "dali"] = "torch"
    """What prepares the training batches of teach and distill: dali is NVIDIA DALI, for image files, with --workers
    threads, on the GPU if there is one. The same samples up to interpolation."""
    track: Annotated[tuple[str, ...], trackers] = ()
    """Also send the metrics there; never by default."""


@dataclass(frozen=True)
class Holdout:
    """What is held out for the test, of data that have no test split."""

    holdout: Annotated[float | None, Range(above=0, below=1, wanted="a share between 0 and 1, such as 0.2")] = None
    """Share of each class that is held out for the test, of data without test images of their own: always the same
    ones, whatever the verb, so that teach and eval agree."""
    holdout_seed: Annotated[int, SEED] = 0
    """Which ones these are."""


EXECUTION = (
    *("run_dir", "devices", "resume", "workers", "graphs", "compile", "dry_run", "debug", "track", "no_images"),
    *("cache_dir", "processes", "ray", "slurm", "slurm_minutes"),  # of exuno distill and exuno study
)
"""The options that say where and how, not what: they do not shape the result."""


@dataclass(frozen=True)
class Optim:
    """Optimizer and learning-rate schedule."""

    name: Annotated[str, optimizers] = "adam"
    """Optimizer. `adam` adds weight decay to the gradient, `adamw` decouples it; `lars` is `sgd` with steps in
    proportion to the weights of each layer, for large batches; `muon` orthogonalises the momentum of matrices and
    filters, at the rates of `adamw`; module:Name is any other class of optimizers."""
    options: tuple[str, ...] = ()
    """Further arguments of that optimizer, as betas=(0.9,0.95)."""
    lr: Annotated[float, Range(above=0, wanted="a positive --optim.lr")] = 1e-3
    """Peak learning rate."""
    lr_end: float = 0.0
    """cosine: the learning rate at the end."""
    weight_decay: Annotated[float, FROM_0] = 0.0
    """Weight decay."""
    weight_decay_end: Annotated[float | None, Range(low=0, wanted="0 or more, or None")] = None
    """Weight decay at the end, along a cosine; constant by default."""
    momentum: Annotated[float, FRACTION, WITH_MOMENTUM] = 0.9
    """Momentum of sgd, lars and muon."""
    nesterov: bool = False
    """Nesterov momentum (sgd)."""
    schedule: Literal["constant", "cosine", "step"] = "cosine"
    """How the learning rate falls after the warm-up."""
    milestones: Annotated[tuple[float, ...], MILESTONES, BY_STEPS] = (0.5, 0.75)
    """step: the fractions of the training at which the rate is multiplied by gamma."""
    gamma: Annotated[float, Range(above=0, high=1), BY_STEPS] = 0.1
    """step: the factor."""
    warmup: Annotated[float, Range(low=0, below=1, wanted="a fraction from 0 to below 1")] = 0.0
    """Fraction of the training during which the rate rises linearly from 0."""
    clip: Annotated[float | None, Range(above=0, wanted="a positive norm, or None")] = None
    """Largest norm of the gradient; none by default."""
    clip_each: Annotated[bool, Acts(lambda optim: optim.clip is not None, "there is no --optim.clip")] = False
    """Clip the gradient of each parameter by itself, as DINO and iBOT do."""


@dataclass(frozen=True)
class MelSpec:
    """How a model hears: the log-mel spectrogram that it makes of a recording."""

    seconds: float = 1.0
    """Length of what it hears; a longer recording is cut to its middle, a shorter one surrounded by silence."""
    mels: int = 64
    """Bands of the spectrogram, the height of the picture that the network sees."""
    window: float = 0.025
    """Seconds of sound behind one column."""
    hop: float = 0.01
    """Seconds between columns."""
    low: float = 60.0
    """Lower end of the lowest band in hertz; the highest ends at half the rate of the recordings, or at 7,800 Hz."""


@dataclass(frozen=True)
class Augment:
    """Augmentation of training images. The geometric part is batched; every draw depends on (seed, epoch, index)."""

    frames: Annotated[int | None, FROM_1] = None
    """Of clips: training sees a random run of so many frames of each (4 of the 8 of a made clip, as published)."""
    augmix: Annotated[int, Range(low=0, high=10, wanted="a severity from 1 to 10, or 0 for none")] = 0
    """Severity of AugMix, 1 to 10 (torchvision: 3); 0 turns it off."""
    augmix_formula: Annotated[
        Literal["paper", "reference"], Acts(lambda augment: augment.augmix, "--augment.augmix is off")
    ] = "paper"
    """The operations of AugMix in the strengths of torchvision (paper), or as the published code of the single-image
    videos applies them (reference), which is much stronger and mostly darkens."""
    short_side: Annotated[tuple[int, int] | None, Range(low=1, rising=True, wanted="a range of pixels: 183 229")] = None
    """Resize the short side to a random number of pixels in this range, and cut out --size at random (X3D: 183 229)."""
    flip: Annotated[float, PROBABILITY] = 0.0
    """Probability of a horizontal flip."""
    pad: Annotated[int, FROM_0] = 0
    """Pad by so many pixels of black on each side and crop back at random (CIFAR: 4)."""
    cutout: Annotated[int, FROM_0] = 0
    """Side of a square set to the mean colour at a random place (CIFAR teacher: 16)."""
    rotate: Annotated[float, FROM_0] = 0.0
    """Largest rotation in degrees, either way."""
    shift: Annotated[float, FROM_0] = 0.0
    """Largest shift as a fraction of the side."""
    zoom: Annotated[float, Range(low=0, below=1, wanted="a fraction from 0 to below 1")] = 0.0
    """Largest change of scale as a fraction."""
    resized_crop: Annotated[tuple[float, float] | None, POSITIVE_PAIR] = None
    """Random resized crop of this range of area fractions (ImageNet: 0.08 1)."""
    aspect: Annotated[
        tuple[float, float],
        POSITIVE_PAIR,
        Acts(lambda augment: augment.resized_crop, "there is no --augment.resized-crop"),
    ] = (0.75, 4 / 3)
    """Range of aspect ratios of the random resized crop."""
    jitter: Annotated[tuple[float, float, float, float], STRENGTHS] = (0.0, 0.0, 0.0, 0.0)
    """Colour jitter: brightness, contrast, saturation, hue."""
    jitter_p: Annotated[float, PROBABILITY, Acts(lambda augment: any(augment.jitter), "--augment.jitter is off")] = 1.0
    """Probability of the colour jitter."""
    gray: Annotated[float, PROBABILITY] = 0.0
    """Probability of turning the image gray."""
    solarize: Annotated[float, PROBABILITY] = 0.0
    """Probability of solarisation at half brightness."""


BLUR = Range(low=0, high=1, wanted="three probabilities from 0 to 1")
LOCAL = Acts(lambda views: views.local, "--views.local is 0")


@dataclass(frozen=True)
class Views:
    """Multi-crop: two global views and some local ones of each image (Caron et al., NeurIPS 2020)."""

    scale: Annotated[tuple[float, float], AREAS] = (0.25, 1.0)
    """Range of the area of a global view."""
    local: Annotated[int, FROM_0] = 10
    """Number of local views."""
    local_size: Annotated[int, PIXELS, LOCAL] = 96
    """Side of a local view in pixels."""
    local_scale: Annotated[tuple[float, float], AREAS, LOCAL] = (0.05, 0.25)
    """Range of the area of a local view."""
    aspect: Annotated[tuple[float, float], POSITIVE_PAIR] = (0.75, 4 / 3)
    """Range of the aspect ratio of every view."""
    flip: Annotated[float, PROBABILITY] = 0.5
    """Probability of a horizontal flip."""
    jitter: Annotated[tuple[float, float, float, float], STRENGTHS] = (0.4, 0.4, 0.2, 0.1)
    """Colour jitter: brightness, contrast, saturation, hue."""
    jitter_p: Annotated[float, PROBABILITY, Acts(lambda views: any(views.jitter), "--views.jitter is off")] = 0.8
    """Probability of the colour jitter."""
    gray: Annotated[float, PROBABILITY] = 0.2
    """Probability of turning a view gray."""
    blur: Annotated[tuple[float, float, float], BLUR] = (
        1.0,
        0.1,
        0.5,
    )
    """Probability of a Gaussian blur of the first global view, of the second, and of a local one."""
    sigma: Annotated[
        tuple[float, float],
        Range(low=0, rising=True, wanted="a range of numbers from 0"),
        Acts(lambda views: any(views.blur), "--views.blur is off"),
    ] = (0.1, 2.0)
    """Range of the blur's standard deviation in pixels."""
    solarize: Annotated[float, PROBABILITY] = 0.2
    """Probability of solarisation of the second global view."""
