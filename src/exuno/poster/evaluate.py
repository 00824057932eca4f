"""``exuno eval poster:PATH``: what a poster is worth, measured anew from its file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exuno.data.base import Data
from exuno.data.holdout import open_held, recorded
from exuno.data.matching import Side
from exuno.data.poster.format import Poster, load
from exuno.data.poster.ledger import byte_breakdown
from exuno.data.relabelled import relabelled
from exuno.engine.devices import make_accelerator, measuring
from exuno.engine.errors import ExunoError
from exuno.engine.files import atomic
from exuno.engine.options import Holdout, RunOptions
from exuno.engine.ranges import require
from exuno.engine.session import Subset
from exuno.evaluate.measure import choose_shown
from exuno.evaluate.options import POSTER, EvalConfig, open_eval
from exuno.metrics import guessing, predict
from exuno.poster.augment import Augmentation
from exuno.poster.measure import Measured, measure, plain
from exuno.poster.options import Evaluation
from exuno.poster.protocol import Recipe
from exuno.poster.ranking import rank
from exuno.poster.real import Space, memory_limit, pixels
from exuno.report.page import write_report

SMOKE = Evaluation(networks=2, steps=(2, 4), baselines=1)


def evaluate(config: EvalConfig) -> Measured | None:
    """Measures a poster, prints the tables; with a run directory also writes result.json and the page. A dry run opens
    and checks all, and has nothing measured.

    Raises:
        ExunoError: anything the user can put right.
    """
    path = Path(config.model.removeprefix(POSTER))
    poster = load(path)
    spec = config.data or poster.data
    own = spec == poster.data and config.held == Holdout()
    held = recorded(poster.lineage) if own else config.held
    try:
        test: Any = open_held(spec, config.split, config.data_root, held)
        train: Any = open_held(spec, "train", config.data_root, held)
    except ExunoError as error:
        if config.data:
            raise
        raise ExunoError(
            f"{path} is tested on {spec}: {error.what}", f"{error.todo} Or name others by --data."
        ) from error
    known = Side("the poster", poster.classes, poster.class_names)
    original = config.smoke or is_original(train, poster)
    test, train = relabelled(test, known, config.classes), relabelled(train, known, config.classes)
    if config.smoke:
        test, train, poster = Subset(test), Subset(train), replace(poster, protocol=shortened(poster))
    proof = evaluation_of(config, Recipe.of(poster.protocol))
    if config.ranking is not None:
        Augmentation(config.ranking)
    if config.dry_run:
        return None
    run = open_eval(replace(config, data=spec, held=held)) if config.run_dir else None
    if run and run.result:
        raise ExunoError(f"{run.dir} holds this measurement already", "Choose another --run-dir.")
    space, device = Space.of(poster), make_accelerator(measuring(RunOptions(devices=config.devices))).device
    images, real = space.images(test), space.images(train, memory_limit(space))
    measured, ranking = measure(poster, images, real, proof, config.seed, device, config.arch), None
    if config.ranking is not None:
        ranking = rank(poster, images, real, proof, config.seed, device, config.ranking)
        measured = replace(measured, tables=[*measured.tables[:-1], ranking.table(config.ranking), measured.tables[-1]])
    print(f"{config.model} on {test.name}, n = {len(test):,}")
    if not original:
        print(f"(not the {poster.data} that it was distilled from: their checksums differ)")
    print("\n\n".join(plain(table) for table in measured.tables))
    if run:
        record(run.dir / "evaluation", measured, test, images[1], poster, not run.options.no_images)
        scores = {} if ranking is None else {"ranking": ranking.content()}
        run.finish(**content(measured, poster, images[1]), **scores)
        write_report(run.dir)
        run.close()
    return measured


def is_original(train: Data, poster: Poster) -> bool:
    """Whether these are the images that a poster was distilled from: also by some of the content of files, where it
    knows that; posters of earlier versions do not."""
    looked = poster.lineage.get("data_content")
    return train.fingerprint() == poster.data_sha256 and looked in (None, train.content())


def evaluation_of(config: EvalConfig, recipe: Recipe) -> Evaluation:
    """How to test: the options, else the defaults, and the steps that the poster was tested with.

    Raises:
        ExunoError: numbers below 1.
    """
    if config.smoke:
        return SMOKE
    proof = Evaluation()
    networks = proof.networks if config.networks is None else config.networks
    draws = proof.baselines if config.baselines is None else config.baselines
    steps = recipe.tested if config.steps is None else config.steps
    require(networks >= 1, "--networks", networks, "at least 1")
    require(draws >= 0, "--baselines", draws, "0 or more")
    require(min(steps, default=0) >= 1, "--steps", " ".join(map(str, steps)), "numbers from 1")
    return replace(proof, networks=networks, steps=steps, baselines=draws)


def shortened(poster: Poster) -> dict[str, Any]:
    """The protocol of a poster for a smoke run."""
    steps = {"steps": SMOKE.steps[-1], "tested": SMOKE.steps}
    return {**poster.protocol, **steps}


def content(measured: Measured, poster: Poster, labels: Tensor) -> dict[str, Any]:
    """What result.json says; ``labels`` [N] are those of the test images."""
    curves = {"poster": measured.poster} | measured.real | measured.others
    return {
        "metrics": measured.metrics,
        "intervals": measured.intervals,
        "baselines": measured.baselines | guessing(labels, poster.classes),
        "architectures": measured.architectures,
        "n": {"poster/top1": len(labels)},
        "training_steps": {"chosen": measured.chosen, "tested": list(measured.steps)},
        "networks": {name: each.tolist() for name, each in curves.items()},
        "ledger": byte_breakdown(poster),
        "tables": measured.tables,
        "lineage": {"poster": {"sha256": poster.fingerprint, **poster.lineage}},
    }


def record(folder: Path, measured: Measured, data: Data, labels: Tensor, poster: Poster, images: bool = True) -> None:
    """Writes ``one_network.npz`` for the page: the answers of one network, and unless ``images`` is False some of the
    test images."""
    arrays = {
        "logits": measured.logits,
        "labels": labels.numpy(),
        "class_names": np.array(poster.class_names),
    }
    if images:
        index = choose_shown(predict(measured.logits), arrays["labels"])
        shown = pixels(data, poster.layout.image, index)["images"].mul(255).round().to(torch.uint8)
        arrays |= {"index": index, "images": shown.permute(0, 2, 3, 1).numpy()}
    with atomic(folder / "one_network.npz") as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
