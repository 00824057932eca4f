"""The configuration of ``exuno explain neurons``, checked and completed. Plain frozen dataclasses; no torch."""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import tyro

from exuno.engine.check import need
from exuno.engine.errors import ExunoError
from exuno.engine.options import ClassOrder
from exuno.evaluate.command import spec_of
from exuno.explain.options import Execution
from exuno.specs import check_specs

Objective = Literal["channel", "neuron"]
STEPS, STEPS_SMALL, SMALL = 512, 128, 32
"""Steps by default, and of pictures of up to so many pixels."""
LARGEST = 2048
"""Side of a picture, in pixels: one takes a gigabyte then."""
SMOKE_STEPS, SMOKE_UNITS = 3, 2


@dataclass(frozen=True)
class NeuronsConfig:
    """Pictures that please a unit most, by activation maximisation: of several models, a teacher and its student, side
    by side, with what each model answers to the pictures of the others."""

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
    pictures: int = 1
    """Pictures of each unit."""
    diversity: float = 0.0
    """Weight of the similarity of the pictures of one unit, which is subtracted."""
    size: int | None = None
    """Side of the pictures in pixels; default: the input size of the first model."""
    steps: int | None = None
    """Steps of Adam; default 512, of pictures of up to 32 pixels 128."""
    seed: int = 0
    """Seed of the noise at the start and of the transformations."""
    run: tyro.conf.OmitArgPrefixes[Execution] = field(default_factory=Execution)


def complete(config: NeuronsConfig) -> NeuronsConfig:
    """The configuration with model specs for folders.

    Raises:
        ExunoError: numbers that make no pictures, no model, a path that is not there.
    """
    if not config.models:
        raise ExunoError("no model was given", "Name one or more: exuno explain neurons runs/NAME.")
    config = replace(config, models=tuple(dict.fromkeys(map(spec_of, config.models))))
    need(config.size is None or 2 <= config.size <= LARGEST, "--size", config.size, f"2 to {LARGEST:,} pixels")
    need(config.steps is None or config.steps >= 1, "--steps", config.steps, "at least 1")
    need(1 <= config.pictures <= 64, "--pictures", config.pictures, "1 to 64")
    need(config.diversity >= 0, "--diversity", config.diversity, "0 or more")
    good = config.diversity == 0 or config.pictures > 1
    need(good, "--diversity", config.diversity, "--pictures 2 or more with it: one picture has none to differ from")
    good = config.layer is not None or config.objective == "channel"
    need(good, "--objective", config.objective, "a --layer of maps with it: a logit has one place only")
    check_specs(config)
    if config.run.smoke:
        config = replace(config, steps=min(config.steps or SMOKE_STEPS, SMOKE_STEPS))
    return config


def steps_of(config: NeuronsConfig, size: int) -> int:
    """Steps for pictures of ``size`` pixels."""
    return config.steps or (STEPS_SMALL if size <= SMALL else STEPS)
