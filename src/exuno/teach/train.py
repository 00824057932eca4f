"""Supervised training: the method, and ``exuno teach`` from top to bottom."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator

from exuno.data.base import Data, classes_of
from exuno.data.content import digests_of
from exuno.data.holdout import check as check_holdout
from exuno.data.holdout import check_seen, lineage_of, open_both
from exuno.data.loader import Loader
from exuno.data.open import check_apart
from exuno.data.relabelled import of_splits
from exuno.engine import session
from exuno.engine.devices import make_accelerator
from exuno.engine.errors import ExunoError
from exuno.engine.loop import Result, fit
from exuno.engine.method import Batch, Method, Numbers, StepOutput
from exuno.engine.options import Optim
from exuno.engine.run import Run
from exuno.evaluate.measure import match_labels, record, scores, top1
from exuno.models.classifier import Classifier
from exuno.models.files import save_model
from exuno.models.load import load_model
from exuno.presets import Preset
from exuno.report.page import write_report
from exuno.teach.options import TeachConfig
from exuno.training import (
    changed,
    check_training,
    has_weights,
    loaded_size,
    model_for,
    rehearse,
    run_training,
    size_of,
    smoke_mark,
    steps_of,
    tell_cost,
    training_loader,
)


class Supervised(Method):
    """Cross-entropy with label smoothing: (1 - a) NLL + a mean(-log p) (Szegedy et al., CVPR 2016).

    Args:
        model: the network that learns.
        label_smoothing: a in [0, 1).
    """

    compilable = True

    def __init__(self, model: Classifier, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.model, self.label_smoothing = model, label_smoothing

    def forward(self, batch: Batch, numbers: Numbers) -> StepOutput:
        """One step. ``batch``: images [B, C, H, W] in [0, 1]; labels int64 [B], or soft ones float32 [B, K]."""
        logits, labels = self.model(batch["images"]).float(), batch["labels"]
        loss = F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        return StepOutput(loss, {"train/top1": (logits.detach().argmax(1) == classes_of(labels)).float().mean()})

    def parameter_groups(self, optim: Optim) -> list[dict[str, Any]]:
        """All parameters, alike."""
        return [{"params": list(self.model.parameters())}]


def teach(config: TeachConfig, preset: Preset | None = None) -> Run:
    """Trains and tests a model in a run directory; returns at once if that run is done.

    Args:
        config: what to do.
        preset: where the configuration came from, for the record.

    Raises:
        ExunoError: anything the user can put right.
    """
    check(config)
    return run_training("teach", config, preset, train, again=opened)


def opened(config: TeachConfig, run: Run) -> dict[str, str]:
    """Digests of the data of a finished run, opened anew."""
    training, test = open_both(config.data, config.data_root, config.held)
    model = load_model(f"run:{run.dir}", pretrained=True)
    return digests(training, match_labels(model, test, "the model", of_splits(training, test, config.classes)))


def digests(training: Data, test: Any) -> dict[str, str]:
    """What the run records of its data."""
    return digests_of("training_data", training) | digests_of("test_data", test)


def look(config: TeachConfig, preset: Preset | None) -> None:
    """Opens all that a training begins with; see ``rehearse``."""

    def open_all(sliver: TeachConfig, accelerator: Accelerator) -> None:
        setup = prepare(sliver, accelerator)
        samples = config.epochs * config.budget * len(setup.training)
        tell_cost(lambda: Supervised(setup.model, config.label_smoothing), setup.loader, samples, config, accelerator)

    rehearse("teach", config, preset, open_all)


def check(config: TeachConfig) -> None:
    """Raises ExunoError for numbers that no training can use."""
    check_training(config)
    check_holdout(config.held)


@dataclass(frozen=True)
class Setup:
    """Everything a training works with."""

    model: Classifier
    training: Data
    test: Any
    loader: Loader
    size: tuple[int, int]
    """(H, W) of the images in training and test."""


def prepare(config: TeachConfig, accelerator: Accelerator) -> Setup:
    """Opens data and model, and checks that they fit each other."""
    training, test = open_both(config.data, config.data_root, config.held)
    if training.num_classes == 0:
        raise ExunoError(f"{config.data} has no labels to train on", "Use it as the --source of exuno distill.")
    if training.num_classes == 1:
        raise ExunoError(
            f"{config.data} has one class, so there is nothing to tell apart", "Give data of two classes or more."
        )
    check_apart(config.data, training, test)
    size = size_of(config, training)
    session.seed_everything(config.run.seed)
    if has_weights(config.model, config.pretrained) and (idle := changed(config.mel)):
        raise ExunoError(
            f"--mel.{idle[0]} says how a new model hears, and {config.model} comes with weights", "Leave it out."
        )
    classes = (training.num_classes, training.classes)
    model = model_for(config.model, config.pretrained, training, size, config.mel, *classes, config.classes)
    check_seen(config.model, model.card.lineage, config.data, config.data_root, config.held)
    test = match_labels(model, test, "the model", of_splits(training, test, config.classes))
    size = loaded_size(size, model)
    loader = training_loader(training, config, size, accelerator)
    return Setup(model, training, session.Subset(test) if config.run.smoke else test, loader, size)


def train(config: TeachConfig, run: Run) -> None:
    """Trains, tests, exports and reports in an open run directory."""
    accelerator = make_accelerator(config.run)
    setup = prepare(config, accelerator)
    run.pin(**digests(setup.training, setup.test))
    outcome = fit(
        Supervised(setup.model, config.label_smoothing),
        setup.loader,
        optim=config.optim,
        steps=steps_of(config, setup.loader),
        run=run,
        accelerator=accelerator,
        evaluators=[top1("model", setup.model, setup.test, setup.size, config.run.workers)],
        evaluations=config.evaluations,
        title="teach",
    )
    if accelerator.is_main_process:
        conclude(config, run, setup, outcome, accelerator.device)
    accelerator.wait_for_everyone()  # the others may be about to load what the first one writes


def conclude(config: TeachConfig, run: Run, setup: Setup, outcome: Result, device: torch.device) -> None:
    """Exports, measures and reports the trained model."""
    lineage = {"data": config.data, "data_sha256": setup.training.fingerprint(), "seed": config.run.seed}
    setup.model.card.lineage.update(lineage | lineage_of(config.held) | smoke_mark(config))
    save_model(setup.model, run.dir)
    rest = (setup.test, setup.size, device, config.run.workers, not run.options.no_images)
    summary, _ = record(run.dir / "evaluation", "model", setup.model, *rest)
    run.finish(
        metrics=scores("model", summary),
        intervals={"model/top1": summary["interval"]},
        n={"model/top1": summary["n"]},
        baselines=summary["guessing"],
        lineage=setup.model.card.lineage,
        batches=setup.loader.path,
        **asdict(outcome),
    )
    write_report(run.dir)
