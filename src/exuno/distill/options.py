"""The configuration of ``exuno distill``. Plain frozen dataclasses; no torch."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from exuno.engine.idle import Acts
from exuno.engine.options import Augment, ClassOrder, Holdout, MelSpec, Optim, RunOptions
from exuno.engine.ranges import BUDGET, FRACTION, FROM_0, FROM_1, PIXELS, PROBABILITY, Range
from exuno.models.names import embedded
from exuno.registry import Registry
from exuno.synth.options import AudioOptions, ImageOptions, VideoOptions

losses = Registry("loss", "--loss.kind", "exuno.distill.losses")
"""How student and teacher are compared."""


rules = Registry("rule", "--select", "exuno.distill.select")
"""How the teacher chooses patches."""


@dataclass(frozen=True)
class Loss:
    """How student and teacher are compared."""

    kind: Annotated[str, losses] = "kl"
    """kl (soft targets), argmax (the teacher's top class alone), dkd, dist, features; cosine or mse, which compare
    vectors (of a features: teacher, kl stands for cosine); or module:Name for a loss of your own (docs/distill.md)."""
    options: tuple[str, ...] = ()
    """Further options of that loss, as beta=8 alpha=1."""
    temperature: Annotated[float, Range(above=0, wanted="a temperature above 0; the papers use 1 to 64")] = 8.0
    """T: logits are divided by it."""
    t2: bool = False
    """Multiply the loss by T² (Hinton et al. do, the single-image papers do not)."""
    standardise: bool = False
    """Divide the z-scores of the logits by T, on both sides, instead of the logits (Sun et al., CVPR 2024): each model
    and image gets a temperature in proportion to its own spread of logits."""
    hard: Annotated[float, Range(low=0, high=1, wanted="a weight from 0 to 1")] = 0.0
    """Weight of the cross-entropy with true labels; the imitation gets 1 minus it. Needs a labelled source."""


@dataclass(frozen=True)
class Mix:
    """Mixing of pairs of images; with both on, each batch draws one of the two."""

    cutmix: Annotated[float, Range(low=0, wanted="a positive number, or 0 to turn it off")] = 0.0
    """α of CutMix's Beta(α, α); 0 turns it off."""
    mixup: Annotated[float, Range(low=0, wanted="a positive number, or 0 to turn it off")] = 0.0
    """α of MixUp's Beta(α, α); 0 turns it off."""
    probability: Annotated[
        float, PROBABILITY, Acts(lambda mix: mix.cutmix or mix.mixup, "--mix.cutmix and --mix.mixup are off")
    ] = 1.0
    """Share of batches that are mixed."""


@dataclass(frozen=True)
class DistillConfig:
    """Train a student to imitate a teacher on patches of one photograph, or on any other source."""

    OFTEN: ClassVar[str] = (
        "source teacher student data data_root patches fresh select size epochs batch_size budget loss.temperature "
        "mix.cutmix optim.lr run_dir seed devices smoke dry_run"
    )
    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "exuno distill digits --source my-photo.jpg",
        "exuno distill digits --source photo:coffee noise:1 --budget 0.5",
        "exuno distill --teacher run:runs/mine --student exuno:wrn_16_4 --data folder:my-images",
    )

    teacher: str
    """Trained model: run:DIR, file:PATH, timm:NAME, torchvision:NAME, hf-hub:NAME, clip:ARCH/TAG?classes=cat,dog
    (zero-shot), features:MODEL (one of these as a teacher of vectors, without classes), or teach:PRESET (train it
    first). Several, as run:A,run:B, answer as one: by the mean of their log-probabilities."""
    student: str
    """Model spec of the student: exuno:NAME, timm:NAME, torchvision:NAME, from random weights; or the weights to start
    from (run:DIR, file:PATH, hf-hub:NAME)."""
    data: str | None = None
    """Labelled data that teacher and student are tested on, which also give size and normalisation; without them, as
    for a teacher of class names or of features, it is tested how far the student agrees with its teacher on patches
    that it has not seen."""
    source: tuple[str, ...] = ("photo:astronaut",)
    """What the student sees: one or more photographs (PATH, photo:NAME, noise:SEED) or programs that draw patches
    (program:module:name), of which clips are made where the
    data are clips; where they are recordings, one or more recordings (PATH, sound:NAME); a folder; or a data spec."""
    split: str = "test"
    """Part of the data that teacher and student are tested on. Options are chosen on a part that is not the test, such
    as train, of which a student of photographs sees nothing."""
    data_root: Path | None = None
    """Folder that holds the benchmark data sets."""
    classes: ClassOrder = "auto"
    """How classes of the data are matched with those of the teacher: by their names where both have names (auto), by
    name alone, or by number: label 0 is the first class, whatever the names."""
    pretrained: bool = False
    """Start the student from the published weights of a timm or torchvision model, with a new last layer."""
    patches: Annotated[int, FROM_1] = 50_000
    """Patches of the photographs (clips, excerpts of the recordings) that make one epoch; a data set has its own
    number."""
    fresh: bool = False
    """New patches in every epoch instead of the same ones again; a source that is a data set has none to make."""
    select: Annotated[str, rules] = ""
    """Let the teacher choose the patches: balanced (over its classes), boundary (balanced, and nearest to its decision
    boundaries), or module:Name for a rule of your own; by default none is chosen."""
    candidates: Annotated[int, FROM_1] = 20
    """--select: so many patches are made for each that is kept."""
    size: Annotated[int | None, PIXELS] = None
    """Side of the images in training; default: that of the test data, or without them the teacher's."""
    epochs: Annotated[int, FROM_1] = 100
    """Times the source is seen."""
    batch_size: Annotated[int, FROM_1] = 128
    """Images in one optimizer step, over all processes."""
    budget: Annotated[float, BUDGET] = 1.0
    """Scales the length of the training and its schedule together."""
    teacher_precision: Literal["same", "no", "bf16", "fp16"] = "same"
    """Precision in which the teacher answers while the student learns: that of --precision (same), or another; no is
    float32."""
    cache_logits: bool = False
    """Ask the teacher once for each image of a fixed source that is neither augmented nor mixed."""
    cache_dir: Path | None = None
    """Where --cache-logits keeps the answers: runs with the same teacher, source and size share one file. Default: the
    run directory."""
    ema: Annotated[float, FRACTION] = 0.0
    """Test and save a moving average of the student's weights, of which so much stays in each step (0.999); 0 takes the
    weights themselves."""
    adversarial: Annotated[float, Range(low=0, high=1, wanted="a share of the range of pixels, such as 0.05")] = 0.0
    """Move each pixel by so much, 1 being its whole range, to where student and teacher differ more: one signed step
    along the gradient before the student learns from the image; 0 for none."""
    evaluations: Annotated[int, FROM_0] = 10
    """How often the student is tested on the way."""
    loss: Loss = field(default_factory=Loss)
    mix: Mix = field(default_factory=Mix)
    mel: MelSpec = field(default_factory=MelSpec)
    augment: Augment = field(default_factory=Augment)
    synth: ImageOptions = field(default_factory=lambda: ImageOptions(size=0))
    video: VideoOptions = field(default_factory=lambda: VideoOptions(size=0, frames=0))
    audio: AudioOptions = field(default_factory=lambda: AudioOptions(rate=0, seconds=0))
    optim: Optim = field(default_factory=Optim)
    held: tyro.conf.OmitArgPrefixes[Holdout] = field(default_factory=Holdout)
    run: tyro.conf.OmitArgPrefixes[RunOptions] = field(default_factory=RunOptions)


def completed(config: DistillConfig) -> DistillConfig:
    """The configuration with the loss that its teacher calls for: there are no soft targets of a vector."""
    if embedded(config.teacher) is None or config.loss.kind != Loss.kind:
        return config
    return replace(config, loss=replace(config.loss, kind="cosine"))
