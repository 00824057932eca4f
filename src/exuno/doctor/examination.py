"""What is examined: a teacher, its test images and patches; and the normalisation that its input needs."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exuno.data.base import modality
from exuno.data.constants import CIFAR, IMAGENET
from exuno.data.content import digests_of
from exuno.data.holdout import check_seen, open_held
from exuno.distill.options import DistillConfig
from exuno.distill.source import open_source
from exuno.distill.train import open_teacher
from exuno.distill.untested import meant_for
from exuno.doctor.options import TEACH, DoctorConfig
from exuno.engine.devices import make_accelerator, measuring
from exuno.engine.errors import ExunoError
from exuno.engine.options import RunOptions
from exuno.engine.progress import ProgressBar
from exuno.engine.run import Run
from exuno.engine.session import Subset
from exuno.evaluate.measure import check_classes, logits, match_labels, ordered_batches
from exuno.features.cache import weights_digest
from exuno.models.card import ModelCard
from exuno.models.classifier import Classifier
from exuno.models.load import load_model

SMOKE_PATCHES = 64
Logits = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Examination:
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
            return logits(model, ordered_batches(data, self.size, self.workers), self.device)[0]


@contextmanager
def counted(model: Classifier, bar: ProgressBar) -> Iterator[None]:
    """Every image that the model answers meanwhile counts for the bar."""
    hook = model.register_forward_hook(lambda _, args, __: bar.advance(len(args[0])))
    try:
        yield
    finally:
        hook.remove()


def open_images(config: DoctorConfig, model: Classifier | None) -> Any:
    """The images of an examination; without --data, what the teacher is meant for, of which there are none.

    Raises:
        ExunoError: no labels where they are needed, or whitened images.
    """
    if config.data is None:
        assert model is not None  # one that is trained first has data
        return meant_for(model)
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
    found = digests_of(config.data, test) if config.data is not None else {}
    if model is not None:
        found[config.teacher] = weights_digest(model.net)
        found[f"the card of {config.teacher}"] = hashlib.sha256(model.card.to_json().encode()).hexdigest()
    return found


def plan(config: DoctorConfig, spec: str, folder: Path) -> DistillConfig:
    """The distillation that would follow, as far as it shapes teacher and patches; no student is built."""
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


def check_compatible(config: DoctorConfig, model: Classifier, test: Any) -> Any:
    """The images with labels that are the numbers of the teacher's classes.

    Raises:
        ExunoError: a teacher that cannot answer for these images, has other classes, or has been trained on them.
    """
    if config.data is not None:
        check_seen(config.teacher, model.card.lineage, config.data, config.data_root, config.held)
    if test.num_classes:
        return match_labels(model, test, "the teacher", config.classes)
    check_classes(model, test, "the teacher")
    return test


def prepare_examination(config: DoctorConfig, test: Any, model: Classifier | None, run: Run) -> Examination:
    """Trains the teacher if there is none yet, and checks that it fits the images.

    Raises:
        ExunoError: classes that do not fit.
    """
    if model is None:
        model, _ = open_teacher(plan(config, "", run.dir), run)
        test = check_compatible(config, model, test)
    size = size_of(config, test)
    device = make_accelerator(measuring(RunOptions(devices=config.devices))).device
    smoke = config.smoke and config.data is not None
    return Examination(model, Subset(test) if smoke else test, size, device, config.workers)


def size_of(config: DoctorConfig, test: Any) -> tuple[int, int]:
    """(H, W) of the images and patches."""
    return (config.size, config.size) if config.size else test.image_size


def patches(config: DoctorConfig, patient: Examination, spec: str, folder: Path) -> Any:
    """The patches of a photograph as ``exuno distill`` would show them with default augmentation, before that and
    before mixing."""
    channels = max(patient.model.card.in_chans, patient.test.channels)
    return open_source(plan(config, spec, folder), patient.test, patient.size, channels, patient.model.card.frames or 0)


ALIKE = 0.05
"""Two normalisations that move no pixel by more than this, in units of the normalised input, are one."""


@dataclass(frozen=True)
class Candidate:
    """A normalisation: pixels in [0, 1] minus ``mean``, over ``std``, perhaps with the channels turned round."""

    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    bgr: bool = False
    """Blue, green, red after normalising, as OpenCV and Caffe order them; each colour keeps its own mean and std."""

    def ends(self) -> list[float]:
        """What black and white become, in the order in which the network gets the channels."""
        pairs = list(zip(self.mean, self.std, strict=True))
        return [
            value for mean, std in (reversed(pairs) if self.bgr else pairs) for value in (-mean / std, (1 - mean) / std)
        ]


def candidates(card: ModelCard, mean: Sequence[float], std: Sequence[float]) -> list[Candidate]:
    """The normalisations worth trying, the card's first; equal ones are one, under both names.

    Args:
        card: of the model.
        mean: of each channel of the data's training images, for pixels in [0, 1].
        std: likewise. Statistics of three channels say nothing to a network of one, and are left out.
    """
    channels = card.in_chans
    listed = [Candidate("the card's", card.mean, card.std)]
    if len(mean) in (1, channels):
        own = tuple(mean) * (channels // len(mean)), tuple(std) * (channels // len(std))
        listed.append(Candidate("the data's own", *own))
    if channels == 3:
        listed += [Candidate("ImageNet's", *IMAGENET), Candidate("CIFAR's", *CIFAR)]
    flat = {"0.5 / 0.5": (0.5, 0.5), "none, [0, 1]": (0.0, 1.0), "none, [0, 255]": (0.0, 1 / 255)}
    listed += [Candidate(name, (m,) * channels, (s,) * channels) for name, (m, s) in flat.items()]
    if channels == 3:
        listed.append(Candidate("the card's, BGR", card.mean, card.std, bgr=True))
        listed.append(Candidate("Caffe's (BGR, [0, 255] minus a mean)", IMAGENET[0], (1 / 255,) * 3, bgr=True))
    found: list[Candidate] = []
    for one in listed:
        twin = next((i for i, other in enumerate(found) if alike(one, other)), None)
        if twin is None:
            found.append(one)
        else:
            found[twin] = replace(found[twin], name=f"{found[twin].name} = {one.name}")
    return found


def alike(one: Candidate, other: Candidate) -> bool:
    """Whether a network could hardly notice the difference: never of two orders of the channels, whose numbers may be
    the same while its pixels are not."""
    return one.bgr == other.bgr and max(abs(a - b) for a, b in zip(one.ends(), other.ends(), strict=True)) <= ALIKE


class _Turned(nn.Module):
    """A network that gets its channels in the opposite order."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.flip(1).contiguous(memory_format=torch.channels_last))


def under(model: Classifier, candidate: Candidate) -> Classifier:
    """The same network (not a copy of it) behind another normalisation."""
    net = _Turned(model.net) if candidate.bgr else model.net
    return Classifier(net, replace(model.card, mean=candidate.mean, std=candidate.std))
