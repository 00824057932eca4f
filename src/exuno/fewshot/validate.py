"""What is measured on the way of a few-shot training: clusters of training images, episodes of validation classes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import ArrayLike, NDArray
from torch import nn

from exuno.data.base import Data
from exuno.data.subset import labels_of
from exuno.engine.documents import read_json
from exuno.engine.errors import ExunoError
from exuno.engine.files import write_json
from exuno.engine.run import Run
from exuno.engine.session import Subset
from exuno.evaluate.measure import ordered_batches
from exuno.fewshot.eval_options import QUERIES
from exuno.fewshot.method import MaskedDistillation
from exuno.fewshot.network import FILE as HEAD
from exuno.fewshot.network import save_projection
from exuno.fewshot.options import PretrainConfig
from exuno.models.classifier import Classifier
from exuno.models.files import WEIGHTS, save_model
from exuno.models.formats.weights import read_weights


def contingency(labels: ArrayLike, clusters: ArrayLike) -> NDArray[np.float64]:
    """Counts [classes, clusters] of samples, empty ones left out."""
    _, rows = np.unique(np.asarray(labels), return_inverse=True)
    _, columns = np.unique(np.asarray(clusters), return_inverse=True)
    table = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(table, (rows, columns), 1)
    return table


def nmi(labels: ArrayLike, clusters: ArrayLike) -> float:
    """Mutual information over the mean of both entropies, in [0, 1] (Strehl and Ghosh, JMLR 2002, arithmetic mean as in
    scikit-learn). One class in one cluster counts as 1.

    Args:
        labels: class of each sample, [N].
        clusters: its cluster, [N].
    """
    joint = contingency(labels, clusters) / np.size(labels)
    rows, columns = joint.sum(1), joint.sum(0)
    both = joint > 0
    mutual = (joint[both] * np.log(joint[both] / np.outer(rows, columns)[both])).sum()
    entropies = -(rows * np.log(rows)).sum() - (columns * np.log(columns)).sum()
    return float(max(0.0, 2 * mutual / entropies)) if entropies > 0 else 1.0


def ari(labels: ArrayLike, clusters: ArrayLike) -> float:
    """Share of pairs on which both agree, 0 at chance and 1 if they are the same (Hubert and Arabie, 1985)."""

    def pairs(counts: NDArray[np.float64]) -> float:
        return float((counts * (counts - 1) / 2).sum())

    table = contingency(labels, clusters)
    together, rows, columns = pairs(table), pairs(table.sum(1)), pairs(table.sum(0))
    chance = rows * columns / max(1.0, pairs(np.array([table.sum()])))
    most = (rows + columns) / 2
    return (together - chance) / (most - chance) if most > chance else 1.0


CLUSTERED = 2000  # training images whose clusters are looked at, spread over the set


class Validator:
    """An evaluator of the loop.

    Yields ``train/nmi`` and ``train/ari``: agreement of the teacher's largest [CLS] output with the class, over
    unaugmented training images, as the published code logs it for its batches. With validation classes, the
    accuracy of the teacher's features by nearest prototype, such as ``val/5-way-1-shot``; the best weights so far are
    kept in ``RUN_DIR/best``.
    """

    def __init__(
        self,
        config: PretrainConfig,
        model: Classifier,
        method: MaskedDistillation,
        training: Data,
        validation: Data | None,
        size: tuple[int, int],
        run: Run,
    ) -> None:
        options = config.validation
        if options.keep == "best" and validation is None:
            raise ExunoError(
                f"{config.data} has no validation classes to choose the best weights by",
                "Give --validation.keep last, or a --split with validation classes.",
            )
        if validation is not None and options.way > validation.num_classes:
            raise ExunoError(
                f"--validation.way is {options.way}, but {config.data} has {validation.num_classes} validation classes",
                "Give a smaller one.",
            )
        self.queries = 0
        if validation is not None:
            least = int(np.bincount(labels_of(validation)).min())
            self.queries = min(QUERIES, least - options.shot)
            if self.queries < 1:
                raise ExunoError(
                    f"--validation.shot is {options.shot}, but a validation class of {config.data} has {least} images",
                    "Give a smaller one, so that images are left to test.",
                )
        self.config, self.model, self.method, self.size, self.run = config, model, method, size, run
        self.training, self.validation = Subset(training, 64 if config.run.smoke else CLUSTERED), validation

    def __call__(self, method: nn.Module, accelerator: Accelerator) -> Iterator[tuple[str, float]]:
        """Measures in the main process; the others have nothing to say."""
        if not accelerator.is_main_process:
            return
        self.model.to(accelerator.device)  # its mean and std are not the method's
        yield from self.clusters(accelerator.device)
        if self.validation is not None:
            options = self.config.validation
            name = f"val/{options.way}-way-{options.shot}-shot"
            accuracy = self.accuracy(accelerator.device)
            yield name, accuracy
            self.remember(name, accuracy)

    @torch.inference_mode()
    def clusters(self, device: torch.device) -> Iterator[tuple[str, float]]:
        """Agreement of the teacher's clusters with the classes of training images."""
        network, found, labels = self.method.teacher, [], []
        for batch in ordered_batches(self.training, self.size, self.config.run.workers).epoch(0):
            pixels = self.model.prepare(batch["images"].to(device))
            found.append(network.projection(network.backbone.tokens(pixels)[:, 0]).argmax(1).cpu())
            labels.append(batch["labels"])
        clusters, classes = torch.cat(found).numpy(), torch.cat(labels).numpy()
        yield "train/nmi", nmi(classes, clusters)
        yield "train/ari", ari(classes, clusters)

    def accuracy(self, device: torch.device) -> float:
        """Mean accuracy over episodes of validation classes; the same episodes each time."""
        from exuno.features.extract import extract
        from exuno.fewshot.episodes import draw
        from exuno.fewshot.heads import accuracies

        options = self.config.validation
        features, labels = extract(
            self.model,
            self.validation,
            features="auto",
            size=self.size,
            resize=options.resize,
            device=device,
            workers=self.config.run.workers,
        )
        seed, classes = self.config.run.seed, labels.numpy()
        tasks = draw(classes, options.way, options.shot, self.queries, options.episodes, seed, "standard")
        return float(np.mean(accuracies(features, classes, tasks, "prototype")))

    def remember(self, name: str, accuracy: float) -> None:
        """Keeps the weights if they are the best so far."""
        if self.config.validation.keep == "best" and accuracy > self.record().get("accuracy", -1):
            save_model(self.model, self.folder)
            save_projection(self.method.teacher.projection, self.folder)
            write_json(self.folder / "best.json", {"measured": name, "accuracy": accuracy})

    @property
    def folder(self) -> Path:
        """Where the best weights are kept."""
        return self.run.dir / "best"

    def record(self) -> dict[str, float]:
        """What is known of the best weights so far."""
        file = self.folder / "best.json"
        return read_json(file) if file.is_file() else {}

    def best(self) -> dict[str, object]:
        """Puts the best weights into the model and the teacher's head; returns how they were chosen."""
        if self.record():
            self.model.net.load_state_dict(read_weights(self.folder / WEIGHTS)[0])
            self.method.teacher.projection.load_state_dict(read_weights(self.folder / HEAD)[0])
        return {"chosen": self.record()}
