"""The teacher before a student learns: cached logits, and what speaks against it."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from exuno.data.loader import IN_ORDER, Loader
from exuno.distill.options import DistillConfig
from exuno.engine.errors import ExunoError
from exuno.engine.options import Augment
from exuno.evaluate.measure import BATCH, logits
from exuno.features.cache import Features, cached, key_of
from exuno.metrics import Summary
from exuno.models.classifier import Classifier
from exuno.models.ensemble import Ensemble
from exuno.models.names import listed


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
        whole = Loader(source, BATCH, Augment(), 0, size, workers=workers, device=accelerator.device, **IN_ORDER)
        found, labels = logits(teacher, whole, accelerator.device)
        return torch.from_numpy(found), torch.from_numpy(labels)

    name = f"teacher_logits-{file_key(teacher, source, size, accelerator.device)}"
    with accelerator.main_process_first():
        found, _ = cached(folder, name, ask)
    return found


def file_key(teacher: Classifier, source: Any, size: tuple[int, int], device: torch.device) -> str:
    """16 characters for all that shapes the logits; the kind of device does, by rounding."""
    # What each member does to pixels is in its card, and not in the weights.
    members = (
        [repr(replace(each.card, lineage={})) for each in teacher.members] if isinstance(teacher, Ensemble) else []
    )
    more = {"members": members} if members else {}
    return key_of(teacher, teacher.card, source, kind="logits", size=size, device=device.type, **more)[:16]


TEACH = "teach:"


def origins(spec: str, teacher: Classifier) -> list[tuple[str, dict[str, Any]]]:
    """The spec and lineage of a teacher, or of each of several."""
    members = teacher.members if isinstance(teacher, Ensemble) else (teacher,)
    return [(each, model.card.lineage) for each, model in zip(listed(spec), members, strict=True)]


def doubts(config: DistillConfig, folder: Path, told: Summary, device: str) -> list[str]:
    """Sentences about a teacher whose accuracy cannot be told from chance, or lies below what its run measured on the
    same images. None of a teacher that a smoke run has trained itself.

    Args:
        config: of the distillation.
        folder: the run directory.
        told: what was measured of the teacher.
        device: on which it was.
    """
    if config.run.smoke and config.teacher.startswith(TEACH):
        return []
    low, high = told["interval"]
    chance = 1 / len(told["class_names"])
    right = (
        f"the teacher is right on {100 * told['top1']:.2f} % of {told['n']:,} test samples (95 % interval "
        f"{100 * low:.2f} to {100 * high:.2f})"
    )
    if low <= chance:
        return [f"{right}, which is no better than chance, {100 * chance:.3g} %. What is wrong? {ask(config, folder)}"]
    claim = claimed(config, folder, told["n"], device)
    if claim is not None and claim > high:
        return [f"{right}; its run measured {100 * claim:.2f} % on the same data. What is wrong? {ask(config, folder)}"]
    return []


def ask(config: DistillConfig, folder: Path) -> str:
    """The command that examines a teacher, or the first of several, on the data of a distillation."""
    assert config.data is not None
    teacher = f"run:{folder / 'teacher'}" if config.teacher.startswith(TEACH) else listed(config.teacher)[0]
    words = ["exuno", "doctor", teacher, "--data", config.data]
    words += ["--data-root", str(config.data_root)] if config.data_root else []
    words += ["--split", config.split] if config.split != "test" else []
    words += ["--size", str(config.size)] if config.size else []
    words += ["--holdout", f"{config.held.holdout:g}"] if config.held.holdout is not None else []
    words += ["--holdout-seed", str(config.held.holdout_seed)] if config.held.holdout_seed else []
    return shlex.join(words)


def claimed(config: DistillConfig, folder: Path, n: int, device: str) -> float | None:
    """The accuracy that the run of a teacher measured on the same n images; None where none is known."""
    from exuno.doctor.options import DoctorConfig
    from exuno.doctor.words import claimed as look_up  # the doctor examines for distill, which it knows

    if config.teacher.startswith(TEACH) or len(listed(config.teacher)) > 1:
        return None
    images = {"data": config.data, "split": config.split, "size": config.size, "held": config.held}
    same = DoctorConfig(config.teacher, **images, smoke=config.run.smoke)
    claim = look_up(same, folder, n, device)
    return claim.value if claim else None
