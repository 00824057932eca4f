"""``exuno selfsup`` from top to bottom."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from accelerate import Accelerator
from torch import nn

from exuno.commandline.presets import resolve
from exuno.data.base import modality
from exuno.data.content import digests_of
from exuno.data.holdout import check as check_holdout
from exuno.data.holdout import lineage_of, open_both
from exuno.data.images.photo import is_single
from exuno.data.loader import Loader
from exuno.data.open import check_apart
from exuno.data.relabelled import of_splits, relabelled, side_of
from exuno.distill import source as sources
from exuno.distill.check import check_idle, check_source
from exuno.distill.options import DistillConfig
from exuno.distill.untested import NoData
from exuno.engine import session
from exuno.engine.devices import make_accelerator
from exuno.engine.errors import ExunoError
from exuno.engine.loop import Result, fit
from exuno.engine.method import Method
from exuno.engine.options import MelSpec
from exuno.engine.probe import Loads
from exuno.engine.ranges import check_fields
from exuno.engine.run import Run
from exuno.engine.training import Evaluator
from exuno.features.extract import extract
from exuno.features.filters import draw_filters
from exuno.features.neighbours import neighbour_votes
from exuno.metrics import guessing, wilson_interval
from exuno.models.classifier import Classifier
from exuno.models.files import save_model
from exuno.presets import Preset
from exuno.report.page import write_report
from exuno.selfsup.methods import Pretext
from exuno.selfsup.options import SelfsupConfig, methods
from exuno.training import (
    check_training,
    model_for,
    rehearse,
    run_training,
    size_of,
    smoke_mark,
    steps_of,
    tell_cost,
    training_loader,
)

KNOWN, ASKED = 10_000, 2_000
"""Labelled images that the test on the way compares with, and those that it asks about, at most."""


def selfsup(config: SelfsupConfig, preset: Preset | None = None) -> Run:
    """Trains a network without labels in a run directory; returns at once if that run is done.

    Raises:
        ExunoError: anything the user can put right.
    """
    check(config)
    work = partial(train, stated=stated_by(config, preset))
    return run_training("selfsup", config, preset, work, sources.digests(config.source), smoke, opened)


def opened(config: SelfsupConfig, run: Run) -> dict[str, str]:
    """The digest of the source of a finished run, opened anew; that of a photograph is in config.yaml."""
    if is_single(config.source[0]):
        return {}
    return digests_of("source", sources.open_set(as_distillation(config), NoData()))


def look(config: SelfsupConfig, preset: Preset | None) -> None:
    """Opens all that a training begins with; see ``rehearse``."""

    def open_all(sliver: SelfsupConfig, accelerator: Accelerator) -> None:
        # One batch is looked at: patches that only clusters would need are counted, and not made.
        made = is_single(config.source[0])
        few, stated = session.smoke(sliver), session.smoke(stated_by(config, preset))
        setup = prepare(few, stated, accelerator, sliver.patches if made else None)
        count = config.patches if made else len(setup.source)
        samples = config.epochs * config.budget * count
        tell_cost(lambda: setup.method, setup.batches, samples, config, accelerator)

    rehearse("selfsup", config, preset, open_all, sources.digests(config.source), smoke)


def smoke(config: SelfsupConfig) -> SelfsupConfig:
    """The same configuration on a sliver of work, with enough patches for the clusters."""
    sliver = session.smoke(config)
    return replace(sliver, patches=min(config.patches, max(sliver.patches, pretext_of(config).outputs)))


def stated_by(config: SelfsupConfig, preset: Preset | None) -> SelfsupConfig:
    """The configuration before the user changed it: the preset's, or the defaults."""
    return resolve(SelfsupConfig, preset) if preset else SelfsupConfig(config.source, config.method)


def pretext_of(config: SelfsupConfig) -> Pretext:
    """The method with its options.

    Raises:
        ExunoError: there is no such method, or option.
    """
    found: Pretext = methods.make(config.method, config.settings)
    if is_dataclass(found):
        check_fields(found, "settings ")
    return found


def check(config: SelfsupConfig) -> None:
    """Raises ExunoError for numbers that no training can use."""
    check_training(config)
    check_holdout(config.held)
    pretext_of(config)


def as_distillation(config: SelfsupConfig) -> DistillConfig:
    """The fields about source, test data and patches, as ``exuno distill`` has them: it opens the same sources."""
    shared = {each.name for each in fields(DistillConfig)} & {each.name for each in fields(SelfsupConfig)}
    values = {name: getattr(config, name) for name in shared}
    return DistillConfig(**{**values, "teacher": "", "student": config.model})


@dataclass(frozen=True)
class Setup:
    """Everything a training works with."""

    model: Classifier
    method: Method
    known: Any
    """Labelled images that the test on the way compares with; None without --data."""
    asked: Any
    """Those that it asks about; likewise."""
    source: Any
    loader: Loader
    batches: Loads
    """The loader, or what the method makes of it."""
    size: tuple[int, int]
    """(H, W) of the images in training."""


def prepare(
    config: SelfsupConfig, stated: SelfsupConfig, accelerator: Accelerator, samples: int | None = None
) -> Setup:
    """Opens source, data and network, and checks that all fit each other; ``samples`` is how many the method is to
    expect of the source, where that is opened for a look and has fewer."""
    pretext, plan = pretext_of(config), as_distillation(config)
    known = asked = None
    if config.data is not None:
        known, asked = open_both(config.data, config.data_root, config.held)
        if modality(asked) != "image" or not asked.num_classes or not known.num_classes:
            what = f"{modality(asked)}s" if modality(asked) != "image" else "no labels"
            raise ExunoError(f"{config.data} has {what}", "Give --data of labelled images, or leave it out.")
        check_apart(config.data, known, asked)
        asked = relabelled(asked, side_of(known), of_splits(known, asked))
        known, asked = session.Subset(known, KNOWN), session.Subset(asked, ASKED)
    meant: Any = asked or NoData()
    check_source(plan, meant)
    check_idle(plan, as_distillation(stated), meant)
    size = size_of(config, meant)
    session.seed_everything(config.run.seed)
    model = model_for(config.model, False, meant, size, MelSpec(), pretext.outputs, None)
    source = sources.open_source(plan, meant, size, model.card.in_chans)
    loader = training_loader(source, config, size, accelerator)
    method = pretext.make(model, samples or len(source), size, config.run.seed)
    return Setup(model, method, known, asked, source, loader, pretext.batches(method, loader), size)


def neighbours(model: Classifier, setup: Setup, workers: int) -> Callable[[], tuple[int, int]]:
    """A function that tells how many of how many test images the votes of their neighbours get right, by the features
    before the last layer."""

    def ask() -> tuple[int, int]:
        (known, labels), (asked, truth) = (
            extract(model, data, size=setup.size, workers=workers) for data in (setup.known, setup.asked)
        )
        return int((neighbour_votes(known, labels, asked).argmax(1) == truth).sum()), len(truth)

    return ask


def train(config: SelfsupConfig, run: Run, stated: SelfsupConfig) -> None:
    """Trains, tests, exports and reports in an open run directory; ``stated`` is the configuration before the user
    changed it."""
    accelerator = make_accelerator(config.run)
    setup = prepare(config, smoke(stated) if config.run.smoke else stated, accelerator)
    run.pin(**digests_of("source", setup.source))
    ask = neighbours(setup.model, setup, config.run.workers) if setup.asked is not None else None

    def tested(method: nn.Module, accelerator: Accelerator) -> Iterator[tuple[str, float]]:
        if ask and accelerator.is_main_process:
            right, count = ask()
            yield "neighbours/top1", right / count

    evaluators: list[Evaluator] = [tested] if ask else []
    outcome = fit(
        setup.method,
        setup.batches,
        optim=config.optim,
        steps=steps_of(config, setup.loader),
        run=run,
        accelerator=accelerator,
        evaluators=evaluators,
        evaluations=config.evaluations,
        title=f"selfsup {config.method}",
    )
    if accelerator.is_main_process:
        conclude(config, run, setup, outcome, ask)
    accelerator.wait_for_everyone()


def conclude(
    config: SelfsupConfig, run: Run, setup: Setup, outcome: Result, ask: Callable[[], tuple[int, int]] | None
) -> None:
    """Exports the network, tests it, draws and reports."""
    lineage = {
        "method": config.method,
        "source": sources.lineage(as_distillation(config), setup.source, run.inputs),
        "seed": config.run.seed,
    } | smoke_mark(config)
    if config.data is not None:  # nothing was learned from them, but for mean and std
        lineage |= {"data": config.data, **lineage_of(config.held)}
    setup.model.card.lineage.update(lineage)
    setup.method.eval()
    save_model(setup.model, run.dir)
    folder = run.dir / "figures"
    if not run.options.no_images:
        sources.write_figures(folder, as_distillation(config), setup.loader)
    draw_filters(folder, setup.model.net)
    content: dict[str, Any] = {"metrics": {}}
    if ask:
        right, count = ask()
        content = {
            "metrics": {"neighbours/top1": right / count},
            "intervals": {"neighbours/top1": list(wilson_interval(right, count))},
            "n": {"neighbours/top1": count},
            "baselines": guessing(labels_of_asked(setup.asked), setup.asked.num_classes),
        }
    run.finish(**content, lineage=lineage, batches=setup.loader.path, **asdict(outcome))
    write_report(run.dir)


def labels_of_asked(data: Any) -> np.ndarray:
    """int64 [N]"""
    return data.fetch(np.arange(len(data), dtype=np.int64))[1].numpy()
