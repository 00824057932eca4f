"""``exuno eval poster:PATH``: what a poster is worth, measured anew from its file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exuno.data.base import Data
from exuno.data.open import open_data
from exuno.data.poster import Poster, ledger, load
from exuno.engine.check import need
from exuno.engine.devices import make_accelerator
from exuno.engine.errors import ExunoError
from exuno.engine.files import atomic
from exuno.engine.options import RunOptions
from exuno.engine.session import Head
from exuno.evaluate.command import POSTER, open_eval
from exuno.evaluate.measure import GALLERY
from exuno.evaluate.options import EvalConfig
from exuno.poster.measure import Measured, measure
from exuno.poster.options import Proof
from exuno.poster.recipe import Recipe
from exuno.poster.sets import Set
from exuno.poster.space import Space, memory_limit, pixels
from exuno.poster.tables import plain
from exuno.report.page import write_report

SMOKE = Proof(networks=2, steps=(2, 4), baselines=1)


def evaluate(config: EvalConfig) -> Measured | None:
    """Measures a poster, prints the tables; with a run directory also writes result.json and the page. A dry run opens
    and checks all, and has nothing measured.

    Raises:
        ExunoError: anything the user can put right.
    """
    path = Path(config.model.removeprefix(POSTER))
    poster = load(path)
    spec = config.data or poster.data
    test: Any = open_data(spec, config.split, root=config.data_root)
    train: Any = open_data(spec, "train", root=config.data_root)
    if config.smoke:
        test, train, poster = Head(test), Head(train), replace(poster, protocol=shortened(poster))
    proof = proof_of(config, Recipe.of(poster.protocol))
    check_classes(test, poster)
    if config.dry_run:
        return None
    run = open_eval(replace(config, data=spec)) if config.run_dir else None
    if run and run.result:
        raise ExunoError(f"{run.dir} holds this measurement already", "Choose another --run-dir.")
    space, device = Space.of(poster), make_accelerator(RunOptions(devices=config.devices)).device
    images = labelled(test, space, poster)
    real = labelled(train, space, poster, memory_limit(space))
    measured = measure(poster, images, real, proof, config.seed, device, config.arch)
    print(f"{config.model} on {test.name}, n = {len(test):,}")
    if not config.smoke and train.fingerprint() != poster.data_sha256:
        print(f"(not the {poster.data} that it was distilled from: their checksums differ)")
    print("\n\n".join(plain(table) for table in measured.tables))
    if run:
        record(run.dir / "evaluation", measured, test, images[1], poster)
        run.finish(**content(measured, poster, len(test)))
        write_report(run.dir)
        run.close()
    return measured


def proof_of(config: EvalConfig, recipe: Recipe) -> Proof:
    """How to test: the options, else the defaults, and the steps that the poster was tested with.

    Raises:
        ExunoError: numbers below 1.
    """
    if config.smoke:
        return SMOKE
    proof = Proof()
    networks = proof.networks if config.networks is None else config.networks
    draws = proof.baselines if config.baselines is None else config.baselines
    steps = recipe.tested if config.steps is None else config.steps
    need(networks >= 1, "--networks", networks, "at least 1")
    need(draws >= 0, "--baselines", draws, "0 or more")
    need(min(steps, default=0) >= 1, "--steps", " ".join(map(str, steps)), "numbers from 1")
    return replace(proof, networks=networks, steps=steps, baselines=draws)


def shortened(poster: Poster) -> dict[str, Any]:
    """The protocol of a poster for a smoke run."""
    steps = {"steps": SMOKE.steps[-1], "tested": SMOKE.steps}
    return {**poster.protocol, **steps}


def labelled(data: Data, space: Space, poster: Poster, most: int | None = None) -> Set:
    """The images of a data set, or ``most`` of them, in the space of a poster, and their labels.

    Raises:
        ExunoError: they are of other classes.
    """
    check_classes(data, poster)
    return space.images(data, most)


def check_classes(data: Data, poster: Poster) -> None:
    """Raises ExunoError if data are of other classes than a poster."""
    if data.num_classes != poster.classes:
        raise ExunoError(
            f"the poster has {poster.classes} classes but {data.name} has {data.num_classes}",
            f"Give data of the same classes, such as what it was distilled from: --data {poster.data}.",
        )


def content(measured: Measured, poster: Poster, n: int) -> dict[str, Any]:
    """What result.json says."""
    curves = {"poster": measured.poster} | measured.real | measured.others
    return {
        "metrics": measured.metrics,
        "intervals": measured.intervals,
        "baselines": measured.baselines,
        "architectures": measured.architectures,
        "n": {"poster/top1": n},
        "training_steps": {"chosen": measured.chosen, "tested": list(measured.steps)},
        "networks": {name: each.tolist() for name, each in curves.items()},
        "ledger": ledger(poster),
        "tables": measured.tables,
        "lineage": {"poster": {"sha256": poster.fingerprint, **poster.lineage}},
    }


def record(folder: Path, measured: Measured, data: Data, labels: Tensor, poster: Poster) -> None:
    """Writes ``one_network.npz`` for the page: the answers of one network, and some of the test images."""
    index = np.linspace(0, len(labels) - 1, min(GALLERY, len(labels))).astype(np.int64)
    images = pixels(data, poster.layout.image, index)["images"].mul(255).round().to(torch.uint8)
    arrays = {
        "logits": measured.logits,
        "labels": labels.numpy(),
        "class_names": np.array(poster.class_names),
        "index": index,
    }
    with atomic(folder / "one_network.npz") as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, images=images.permute(0, 2, 3, 1).numpy(), **arrays)
