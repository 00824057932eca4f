"""The configurations of ``exuno explain``, checked and completed. No torch."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

import tyro

from exuno.engine.errors import ExunoError
from exuno.engine.options import EXECUTION, ClassOrder, Execution, Holdout
from exuno.engine.ranges import FROM_0, FROM_1, PIXELS, SEED, Range, check_fields, require
from exuno.evaluate.eval import held_by, spec_of
from exuno.fewshot.eval_options import first_config
from exuno.presets import to_args, to_dict
from exuno.specs import check_learner, check_specs

Projection = Literal["templates", "pca"]
Space = Literal["head", "all"]
ORDERS: tuple[str, ...] = get_args(ClassOrder)
SMOKE_IMAGES, SMOKE_RESAMPLES = 6, 20


@dataclass(frozen=True)
class PenultimateConfig:
    """What the features before the last layer look like: three classes in the plane of their weights, the distances of
    all class centroids, and how far several models moved similar classes together."""

    OFTEN: ClassVar[str] = (
        "data data_root split images size classes projection space neighbours similar reference resamples cache seed "
        "run_dir devices smoke no_images dry_run debug"
    )
    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "exuno explain penultimate runs/mine",
        "exuno explain penultimate runs/mine runs/other --split train test",
        "exuno explain penultimate runs/mine --classes 3 5 8",
    )

    models: tyro.conf.Positional[tuple[str, ...]]
    """Model specs or folders of runs: students at T = 1, 2, 3, 64, say."""
    data: str | None = None
    """Data spec; default: what the first run was tested on."""
    data_root: Path | None = None
    """Folder that holds the benchmark data sets."""
    split: tuple[str, ...] = ("test",)
    """Which part of the data, or parts: --split train test. Planes, scales and similar classes are those of the
    first."""
    held: tyro.conf.OmitArgPrefixes[Holdout] = field(default_factory=Holdout)
    images: Annotated[int | None, Range(low=2, wanted="2 or more")] = None
    """Take the first so many images of each class only."""
    size: Annotated[int | None, PIXELS] = None
    """Side of the images; default: the input size of the model."""
    three: Annotated[tuple[str, ...], tyro.conf.arg(name="classes")] = ()
    """The three classes to project; default: the two most similar ones, and the one that is least similar to both. In
    front of them, or alone, by-number: classes of models and data are the same where their numbers are, whatever their
    names; else those of the same name are."""
    projection: Projection = "templates"
    """templates: onto the plane through the three class weights (Müller et al. 2019); pca: onto the first two principal
    components within the span of the weights and biases (the code of Chandrasegaran et al. 2022)."""
    space: Space = "head"
    """head: distances and spread within the part of the features that tells classes apart, the span of the differences
    of the class weights; all: in all features, also what the last layer does not read."""
    neighbours: Annotated[int | None, Range(low=1, wanted="1 or more")] = None
    """How many classes count as similar to a class; default 3, with fewer than five classes fewer."""
    similar: str | None = None
    """What says which classes are similar: a model spec (the teacher, say), or a JSON file of groups,
    {"dogs": ["poodle", "beagle"], ...}; default: the centroid distances of all the models, averaged."""
    reference: str | None = None
    """The model that the others are compared with; default: the first."""
    resamples: Annotated[int, Range(low=20, wanted="20 or more")] = 200
    """Draws of the bootstrap over images."""
    cache: Path | None = None
    """Folder of cached features; default: ~/.cache/exuno/features."""
    seed: Annotated[int, SEED] = 0
    """Seed of the bootstrap."""
    workers: Annotated[int, FROM_0] = 0
    """Processes that decode images; 0 decodes them in this one."""
    run: tyro.conf.OmitArgPrefixes[Execution] = field(default_factory=Execution)

    @property
    def order(self) -> ClassOrder:
        """How classes of models and data are matched."""
        return self.three[0] if self.three and self.three[0] in ORDERS else "auto"  # pyright: ignore[reportReturnType]

    @property
    def asked(self) -> tuple[str, ...]:
        """The names of the three classes, if any."""
        return self.three[1:] if self.three and self.three[0] in ORDERS else self.three


def complete_penultimate(config: PenultimateConfig) -> PenultimateConfig:
    """The configuration with model specs for folders, the reference in front, and data, their root and the size of
    images of the first run where the options leave them open.

    Raises:
        ExunoError: numbers that cannot be measured with, no model, a path that is not there, data unknown.
    """
    if not config.models:
        raise ExunoError("no model was given", "Name one or more: exuno explain penultimate runs/NAME.")
    models = list(dict.fromkeys(map(spec_of, config.models)))
    reference = spec_of(config.reference) if config.reference else models[0]
    models = [reference, *(model for model in models if model != reference)]
    for spec in models:
        check_learner(spec)
    known = first_config(models)
    data = config.data or known.get("data")
    if data is None:
        raise ExunoError(f"what to show {models[0]} is unknown", "Give --data, for instance --data digits.")
    root = config.data_root
    if root is None and data == known.get("data") and known.get("data_root"):
        root = Path(known["data_root"])
    similar = config.similar
    if similar is not None and not is_groups(similar):
        similar = spec_of(similar)
    held = held_by(known, data, config.held)
    config = replace(
        config, models=tuple(models), reference=reference, data=data, data_root=root, held=held, similar=similar
    )
    check(config)
    check_specs(config)
    if config.run.smoke:
        few = min(config.images or SMOKE_IMAGES, SMOKE_IMAGES)
        config = replace(config, images=few, resamples=min(config.resamples, SMOKE_RESAMPLES))
    return config


def is_groups(similar: str | None) -> bool:
    """Whether --similar is a file of groups, not a model."""
    return similar is not None and similar.endswith(".json")


def check(config: PenultimateConfig) -> None:
    """Raises ExunoError for numbers that cannot be measured with."""
    check_fields(config)
    require(len(config.split) > 0, "--split", "empty", "a part of the data, such as test")
    require(len(set(config.split)) == len(config.split), "--split", " ".join(config.split), "each part once")
    if three := config.asked:
        require(len(set(three)) == 3 == len(three), "--classes", " ".join(three), "three of them")
    good = config.neighbours is None or not is_groups(config.similar)
    require(good, "--neighbours", config.neighbours, "either it or groups: the file says which classes are similar")


def values_of(config: Any) -> dict[str, Any]:
    """A configuration of any word as plain values, each under the name that is typed; without the place of the
    cache."""
    values = {"classes" if key == "three" else key: value for key, value in to_dict(config).items()}
    values.pop("cache", None)
    return values


def replay(verb: str, values: dict[str, Any], *positional: str) -> list[str]:
    """The command that repeats a verb with these values; ``positional`` are typed without their names."""
    given = {key: value for key, value in values.items() if key not in EXECUTION and value not in (None, [])}
    first = [given.pop(name) for name in positional]
    bare = [item for each in first for item in (each if isinstance(each, list) else [each])]
    return ["exuno", *verb.split(), *bare, *to_args(given)]


Objective = Literal["channel", "neuron"]
STEPS, STEPS_SMALL, SMALL = 512, 128, 32
"""Steps by default, and of pictures of up to so many pixels."""
LARGEST = 2048
"""Side of a picture, in pixels: one takes a gigabyte then."""
SMOKE_STEPS, SMOKE_UNITS = 3, 2


@dataclass(frozen=True)
class NeuronsConfig:
    """Activation maximisation of the units of several models, a teacher and its student, side by side,
    with what each model answers to the pictures of the others."""

    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "exuno explain neurons runs/mine",
        "exuno explain neurons runs/mine runs/other --units 3 5",
        "exuno explain neurons runs/mine --layer blocks.1 --pictures 2 --diversity 1",
    )

    models: tyro.conf.Positional[tuple[str, ...]]
    """Model specs or folders of runs."""
    units: tuple[str, ...] = ()
    """Logits, by the name of the class or by number, or channels of the layer by number; default: the first ten."""
    layer: str | None = None
    """Name of a layer as in named_modules, such as blocks.3; default: the logits."""
    classes: ClassOrder = "auto"
    """How the classes of several models are matched: by their names where they have names (auto, by-name), or by
    number."""
    objective: Objective = "channel"
    """channel: the mean of a channel over all places; neuron: its place in the middle of a map."""
    pictures: Annotated[int, Range(low=1, high=64, wanted="1 to 64")] = 1
    """Pictures of each unit."""
    diversity: Annotated[float, FROM_0] = 0.0
    """Weight of the similarity of the pictures of one unit, which is subtracted."""
    size: Annotated[int | None, Range(low=2, high=LARGEST, wanted=f"2 to {LARGEST:,} pixels")] = None
    """Side of the pictures in pixels; default: the input size of the first model."""
    steps: Annotated[int | None, FROM_1] = None
    """Steps of Adam; default 512, of pictures of up to 32 pixels 128."""
    seed: Annotated[int, SEED] = 0
    """Seed of the noise at the start and of the transformations."""
    run: tyro.conf.OmitArgPrefixes[Execution] = field(default_factory=Execution)


def complete_neurons(config: NeuronsConfig) -> NeuronsConfig:
    """The configuration with model specs for folders.

    Raises:
        ExunoError: numbers that make no pictures, no model, a path that is not there.
    """
    if not config.models:
        raise ExunoError("no model was given", "Name one or more: exuno explain neurons runs/NAME.")
    config = replace(config, models=tuple(dict.fromkeys(map(spec_of, config.models))))
    good = config.diversity == 0 or config.pictures > 1
    require(good, "--diversity", config.diversity, "--pictures 2 or more with it: one picture has none to differ from")
    good = config.layer is not None or config.objective == "channel"
    require(good, "--objective", config.objective, "a --layer of maps with it: a logit has one place only")
    check_specs(config)
    if config.run.smoke:
        config = replace(config, steps=min(config.steps or SMOKE_STEPS, SMOKE_STEPS))
    return config


def steps_of(config: NeuronsConfig, size: int) -> int:
    """Steps for pictures of ``size`` pixels."""
    return config.steps or (STEPS_SMALL if size <= SMALL else STEPS)


SMOKE_MAPS = 1


@dataclass(frozen=True)
class AttentionConfig:
    """Where a vision transformer looks: the attention that [CLS] pays the patches of some pictures."""

    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "exuno explain attention runs/mine photo:cat",
        "exuno explain attention timm:vit_small_patch16_224.dino my-photo.jpg",
        "exuno explain attention runs/mine a.jpg b.jpg --block 0",
    )

    model: tyro.conf.Positional[str]
    """Model spec or folder of a run, a transformer."""
    images: tyro.conf.Positional[tuple[str, ...]]
    """Pictures: PATH[@BITSbit], photo:NAME or noise:SEED."""
    block: int = -1
    """Number of the block, from 0, or from the end, -1 being the last."""
    size: Annotated[int | None, PIXELS] = None
    """Side at which the network sees the pictures, whose middle is cut out; default: its input size."""
    run: tyro.conf.OmitArgPrefixes[Execution] = field(default_factory=Execution)


def complete_attention(config: AttentionConfig) -> AttentionConfig:
    """The configuration with a model spec for a folder.

    Raises:
        ExunoError: no picture, a size that makes no sense, a path that is not there.
    """
    if not config.images:
        raise ExunoError("no picture was given", "Name one or more: exuno explain attention MODEL photo:cat.")
    config = replace(config, model=spec_of(config.model))
    check_specs(config)
    return replace(config, images=config.images[:SMOKE_MAPS]) if config.run.smoke else config
