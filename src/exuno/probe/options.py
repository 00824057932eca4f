"""The configuration of ``exuno probe``. Plain frozen dataclasses; no torch."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from exuno.engine.errors import ExunoError
from exuno.engine.idle import Acts
from exuno.engine.options import Execution, Holdout
from exuno.engine.ranges import FROM_0, FROM_1, SEED, Range
from exuno.evaluate.eval import held_by, spec_of
from exuno.fewshot.eval_options import first_config
from exuno.specs import check_learner, check_specs

RANDOM = "random"


NUMBERS = {"fast": 2048, "published": 9600}
"""Numbers to which the activations of a layer are pooled, about."""


EPOCHS = {"fast": 20, "published": 36}


SMOKE_IMAGES = 200


@dataclass(frozen=True)
class ProbeConfig:
    """What each layer of a model has learned: linear probes on all layers in one pass, beside random weights and other
    models."""

    OFTEN: ClassVar[str] = (
        "data data_root against protocol layers numbers neighbours images seeds size epochs run_dir seed devices "
        "workers smoke dry_run"
    )
    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "exuno probe runs/mine",
        "exuno probe runs/mine --against random runs/supervised",
        "exuno probe runs/seed0,runs/seed1,runs/seed2 --data cifar10 --data-root DATA",
    )

    probed: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """Model spec: run:DIR (or the folder itself), file:PATH, timm:NAME, torchvision:NAME, hf-hub:NAME. Several with
    commas between them, such as seeds of one training, are one row: their mean."""
    data: str | None = None
    """Labelled data; default: what the run of the model was tested on."""
    data_root: Path | None = None
    """Folder that holds the benchmark data sets."""
    against: tuple[str, ...] = (RANDOM,)
    """Other rows: random (the same architecture with random weights), and models, such as a supervised one."""
    protocol: Literal["fast", "published"] = "fast"
    """fast: features of whole images, computed once. published: fresh crops in every epoch and ten crops at the test,
    as yukimasano/linear-probes."""
    layers: tuple[str, ...] = ()
    """Modules of the network that are probed, by name; default: its activations, or its blocks where these are many."""
    numbers: Annotated[int | None, FROM_1] = None
    """Numbers to which the activations of a layer are max-pooled, about; default 2048, published 9600."""
    neighbours: Annotated[int, Range(low=0, wanted="0 or more; 20 is usual")] = 0
    """Also classify by the votes of so many nearest neighbours (20 is usual), which learns nothing; 0 leaves it out."""
    images: Annotated[int | None, FROM_1] = None
    """Training images, at most, spread over the data; default: all."""
    seeds: Annotated[int, FROM_1, Acts(lambda config: RANDOM in config.against, "--against has no random")] = 3
    """Networks with random weights, each probed by itself."""
    size: Annotated[int | None, FROM_1] = None
    """Side of the images; default: that of the data."""
    epochs: Annotated[int | None, FROM_1] = None
    """Times the training images are seen; default 20 (more of small data), published 36."""
    batch_size: Annotated[int, Range(low=2)] = 192
    """Images in one step of the probes."""
    seed: Annotated[int, SEED] = 0
    """Of probes and random networks."""
    workers: Annotated[int, FROM_0] = 0
    """Processes that decode images; 0 decodes them in this one."""
    held: tyro.conf.OmitArgPrefixes[Holdout] = field(default_factory=Holdout)
    run: tyro.conf.OmitArgPrefixes[Execution] = field(default_factory=Execution)


def split_row(row: str) -> list[str]:
    """The models of a row, between commas; those of ``clip:`` are between its classes, so it is a row by itself."""
    return [row] if row.startswith(("clip:", "features:clip:")) else row.split(",")


def specs_of(row: str) -> tuple[str, ...]:
    """The model specs of a row; a bare path gets its prefix."""
    return (RANDOM,) if row == RANDOM else tuple(map(spec_of, split_row(row)))


def complete(config: ProbeConfig) -> ProbeConfig:
    """The configuration with model specs for folders, and with the data of the first run.

    Raises:
        ExunoError: numbers that cannot be probed with, a path that is not there, data unknown.
    """
    rows = tuple(dict.fromkeys((config.probed, *config.against)))
    if config.probed == RANDOM:
        raise ExunoError("random names no architecture", "Name a model first; random weights go behind --against.")
    for spec in (spec for row in rows for spec in specs_of(row)):
        if spec != RANDOM:
            check_learner(spec)
    probed, *against = (",".join(specs_of(row)) for row in rows)
    if config.neighbours and config.protocol == "published":
        raise ExunoError("--neighbours needs features that stay the same", "Leave it out, or take --protocol fast.")
    known = first_config(split_row(probed))
    data = config.data or known.get("data")
    if data is None:
        raise ExunoError(f"what to probe {probed} on is unknown", "Give --data, for instance --data digits.")
    root = config.data_root
    if root is None and data == known.get("data") and known.get("data_root"):
        root = Path(known["data_root"])
    config = replace(
        config,
        probed=probed,
        against=tuple(against),
        data=data,
        data_root=root,
        held=held_by(known, data, config.held),
        numbers=config.numbers or NUMBERS[config.protocol],
        epochs=config.epochs or EPOCHS[config.protocol],
    )
    check_specs(config)
    if config.run.smoke:
        config = replace(config, images=min(config.images or SMOKE_IMAGES, SMOKE_IMAGES), epochs=1, seeds=1)
    return config
