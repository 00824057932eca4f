"""A distillation without labelled images: what stands in their place, and what can be measured all the same.

A teacher of class names (``clip:``) and a photograph need no data, so nothing is known of the accuracy of teacher or
student. What is known is how often the student answers as its teacher does, asked about patches of the photographs that
it has not seen. They look like what it learned from and not like what it is meant for, so this is a test of the
imitation alone.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from exuno.data.base import Data, Positions
from exuno.data.batches import ArrayData
from exuno.data.constants import IMAGENET
from exuno.distill.options import DistillConfig
from exuno.distill.source import Patches, stream_of
from exuno.engine.errors import ExunoError
from exuno.evaluate.measure import logits, ordered_batches
from exuno.metrics import agreement, guessing, predict, wilson_interval
from exuno.models.card import ModelCard
from exuno.models.classifier import NAMES, Classifier

SIDE = 32
"""Of images where nothing says it."""
COUNT, SMOKE_COUNT = 2000, 64
"""Patches that the student has not seen."""
FIRST = 2**50
"""Number of the first of them: no training gets there."""
NOTE = (
    "No labelled images were given (--data), so the accuracy of teacher and student is unknown; the agreement is on "
    "patches of the photographs, which may look like none of the classes."
)


class NoData(Data):
    """What a network is meant for, where no labelled data were given: photographs, of which there are none.

    Args:
        card: of a model that already knows their size, channels and classes.
    """

    name, classes, num_classes, channels, image_size = "the source", None, 0, 3, (SIDE, SIDE)
    mean, std = IMAGENET

    def __init__(self, card: ModelCard | None = None) -> None:
        if card:
            self.classes, self.num_classes, self.channels = card.class_names, card.classes, card.in_chans
            self.image_size, self.mean, self.std = card.input_size, card.mean, card.std

    def __len__(self) -> int:
        return 0

    def fetch(self, positions: Positions) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def fingerprint(self) -> str:
        return ""


def meant_for(teacher: Classifier) -> NoData:
    """What stands in the place of the test data.

    Raises:
        ExunoError: the teacher takes clips or recordings.
    """
    if teacher.ndim != 4:
        raise ExunoError(
            f"the teacher ({teacher.card.arch}) takes {NAMES[teacher.ndim]}, and without --data patches are images",
            "Give --data.",
        )
    return NoData(teacher.card)


def unseen(
    config: DistillConfig, teacher: Classifier, size: tuple[int, int], channels: int, device: torch.device
) -> ArrayData:
    """Patches of the photographs that no student sees, labelled with the teacher's answers, if it names classes.

    Args:
        config: the photographs, and how patches are made.
        teacher: who answers.
        size: (H, W) of the images in training.
        channels: of the images in training.
        device: where it answers.
    """
    stream, _ = stream_of(config, NoData(teacher.card), size, 0)
    count = SMOKE_COUNT if config.run.smoke else COUNT
    images, labels = (each.numpy() for each in Patches(stream, channels).fetch(FIRST + np.arange(count)))
    names = (teacher.card.class_names, teacher.card.classes)
    bare = ArrayData("patches that it has not seen", images, labels, *names)
    if not teacher.card.classes:
        return bare
    answers, _ = logits(teacher, ordered_batches(bare, size), device)
    return ArrayData(bare.name, images, predict(answers), *names)


def compared(
    teacher: Classifier, student: Classifier, patches: Data, size: tuple[int, int], device: torch.device
) -> dict[str, Any]:
    """What result.json says: metrics, their intervals and numbers, what guessing the teacher's answers would bring, and
    a note."""
    tests = ordered_batches(patches, size)
    (asked, _), (answered, labels) = (logits(model, tests, device) for model in (teacher, student))
    both, count = agreement(asked, answered), len(labels)
    return {
        "metrics": {"agreement/top1": both.top1, "agreement/kl": both.kl},
        "intervals": {"agreement/top1": wilson_interval(round(both.top1 * count), count)},
        "n": {"agreement/top1": count},
        "baselines": guessing(labels, teacher.card.classes),
        "notes": [NOTE],
    }
