"""The teacher's logits on a fixed source: asked for once, kept in a file that several runs can share."""

from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from exuno.data.loader import Loader
from exuno.engine.errors import ExunoError
from exuno.engine.options import Augment
from exuno.evaluate.measure import BATCH, logits
from exuno.features.cache import Features, cached, key_of
from exuno.models.classifier import Classifier


def teacher_logits(
    teacher: Classifier, source: Any, size: tuple[int, int], accelerator: Accelerator, folder: Path, workers: int = 0
) -> Tensor:
    """The teacher's logits of every position of a source, from ``folder`` or, the first time, from the teacher.

    The images take the way that they take in training, so that teacher and student see the same pixels. The file is
    named by a digest of the teacher's weights, the source and the size: runs that differ in any of them do not meet.
    Two runs that ask at once both write, each in one step, the same content; a damaged file is written anew.

    Args:
        teacher: the model that answers.
        source: a data set that is the same in every epoch, N images.
        size: (H, W) of the images in training.
        accelerator: the first process asks the teacher, the others wait for it.
        folder: where the file lies.
        workers: processes that prepare the images.

    Returns:
        Float32 [N, C], on the CPU.

    Raises:
        ExunoError: for videos, of which training sees other clips in every epoch.
    """
    if hasattr(source, "fetch_runs"):
        raise ExunoError(
            f"{source.name} gives another clip of each video in every epoch, so no answers can be kept",
            "Leave out --cache-logits.",
        )

    def ask() -> Features:
        whole = Loader(source, BATCH, Augment(), 0, size, workers=workers, shuffle=False, drop_last=False)
        found, labels = logits(teacher, whole, accelerator.device)
        return torch.from_numpy(found), torch.from_numpy(labels)

    name = f"teacher_logits-{file_key(teacher, source, size, accelerator.device)}"
    with accelerator.main_process_first():
        found, _ = cached(folder, name, ask)
    return found


def file_key(teacher: Classifier, source: Any, size: tuple[int, int], device: torch.device) -> str:
    """16 characters for all that shapes the logits; the kind of device does, by rounding."""
    return key_of(teacher, teacher.card, source, kind="logits", size=size, device=device.type)[:16]
