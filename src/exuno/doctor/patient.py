"""What is examined: a teacher, the images it is tested on, and patches of photographs."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from exuno.data.base import modality
from exuno.data.holdout import check_seen, open_held
from exuno.distill.options import DistillConfig
from exuno.distill.source import open_source
from exuno.distill.train import open_teacher
from exuno.doctor.command import TEACH
from exuno.doctor.options import DoctorConfig
from exuno.engine.devices import make_accelerator, measuring
from exuno.engine.errors import ExunoError
from exuno.engine.options import RunOptions
from exuno.engine.progress import ProgressBar
from exuno.engine.run import Run
from exuno.engine.session import Head
from exuno.evaluate.measure import check_classes, in_order, logits, matched
from exuno.features.cache import weights_digest
from exuno.models.classifier import Classifier
from exuno.models.load import load_model

SMOKE_PATCHES = 64
Logits = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Patient:
    """A teacher, and what it is examined with."""

    model: Classifier
    test: Any
    size: tuple[int, int]
    """(H, W) of the images and patches."""
    device: torch.device
    workers: int

    def ask(self, data: Any, bar: ProgressBar, model: Classifier | None = None) -> Logits:
        """Logits [N, C] of a data set, from this model or another one."""
        model = model or self.model
        with counted(model, bar):
            return logits(model, in_order(data, self.size, self.workers), self.device)[0]


@contextmanager
def counted(model: Classifier, bar: ProgressBar) -> Iterator[None]:
    """Every image that the model answers meanwhile counts for the bar."""
    hook = model.register_forward_hook(lambda _, args, __: bar.advance(len(args[0])))
    try:
        yield
    finally:
        hook.remove()


def open_images(config: DoctorConfig) -> Any:
    """The images of an examination.

    Raises:
        ExunoError: no labels where they are needed, or whitened images.
    """
    assert config.data is not None
    test: Any = open_held(config.data, config.split, config.data_root, config.held)
    if test.num_classes == 0 and not config.sources:
        raise ExunoError(
            f"{config.data} has no labels, so a teacher cannot be examined on it",
            "Give labelled --data; without labels photographs can be ranked: --sources.",
        )
    if (kind := modality(test)) != "image":
        raise ExunoError(f"{config.data} has {kind}s", "The doctor examines models of single images; give such data.")
    if test.whitening is not None:
        raise ExunoError(f"the images of {config.data} are whitened, so they have no pixels to normalise",
                         "Give the data set that the poster was made from.")  # fmt: skip
    return test


def trained(config: DoctorConfig) -> Classifier | None:
    """The teacher; None for one that is to be trained first."""
    return None if config.teacher.startswith(TEACH) else load_model(config.teacher, pretrained=True)


def digests(config: DoctorConfig, test: Any, model: Classifier | None) -> dict[str, str]:
    """What an examination depends on beside its configuration: name -> sha256. Weights or a card that were written anew
    in the same place make another examination."""
    assert config.data is not None
    found = {config.data: test.fingerprint()}
    if model is not None:
        found[config.teacher] = weights_digest(model.net)
        found[f"the card of {config.teacher}"] = hashlib.sha256(model.card.to_json().encode()).hexdigest()
    return found


def plan(config: DoctorConfig, spec: str, folder: Path) -> DistillConfig:
    """The distillation that would follow, as far as it shapes teacher and patches; no student is built."""
    assert config.data is not None
    return DistillConfig(
        teacher=config.teacher,
        student="none",
        data=config.data,
        source=(spec,),
        data_root=config.data_root,
        classes=config.classes,
        held=config.held,
        patches=count(config),
        size=config.size,
        synth=config.synth,
        run=RunOptions(run_dir=folder, seed=config.seed, devices=config.devices, workers=config.workers,
                       smoke=config.smoke, no_images=config.no_images),
    )  # fmt: skip


def count(config: DoctorConfig) -> int:
    """Patches of each photograph."""
    return min(config.patches, SMOKE_PATCHES) if config.smoke else config.patches


def fit(config: DoctorConfig, model: Classifier, test: Any) -> Any:
    """The images with labels that are the numbers of the teacher's classes.

    Raises:
        ExunoError: a teacher that cannot answer for these images, has other classes, or has been trained on them.
    """
    check_seen(config.teacher, model.card.lineage, config.data or "", config.data_root, config.held)
    if test.num_classes:
        return matched(model, test, "the teacher", config.classes)
    check_classes(model, test, "the teacher")
    return test


def admit(config: DoctorConfig, test: Any, model: Classifier | None, run: Run) -> Patient:
    """Trains the teacher if there is none yet, and checks that it fits the images.

    Raises:
        ExunoError: classes that do not fit.
    """
    if model is None:
        model = open_teacher(plan(config, "", run.dir), run)
        test = fit(config, model, test)
    size = size_of(config, test)
    device = make_accelerator(measuring(RunOptions(devices=config.devices))).device
    return Patient(model, Head(test) if config.smoke else test, size, device, config.workers)


def size_of(config: DoctorConfig, test: Any) -> tuple[int, int]:
    """(H, W) of the images and patches."""
    return (config.size, config.size) if config.size else test.image_size


def patches(config: DoctorConfig, patient: Patient, spec: str, folder: Path) -> Any:
    """The patches of a photograph as ``exuno distill`` would show them with default augmentation, before that and
    before mixing."""
    channels = max(patient.model.card.in_chans, patient.test.channels)
    return open_source(plan(config, spec, folder), patient.test, patient.size, channels, patient.model.card.frames or 0)
