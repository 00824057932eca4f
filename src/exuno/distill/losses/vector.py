"""Vectors imitate vectors: what a student learns from a teacher that names no classes (``features:MODEL``); of others,
the logits are the vectors."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from exuno.distill.options import losses


def relative_error(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of vectors [B, F] over the squared length of the teacher's, both summed over the batch, so that
    it depends neither on their number nor on their size: 1 for a student that always answers 0."""
    teacher = teacher.detach().float()
    return F.mse_loss(student.float(), teacher) / (teacher.pow(2).mean() + 1e-12)


@losses.register("cosine", vectors=True, summary="angle between vectors (RADIO; Ranzinger et al., CVPR 2024)")
@dataclass(frozen=True)
class Cosine:
    """1 minus the cosine of the two vectors of an image, the loss of summary features in RADIO (Ranzinger et al., CVPR
    2024, arXiv 2312.06709): their lengths do not matter, as they do not in few-shot and zero-shot
    classification."""

    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        """See :mod:`exuno.distill.losses`."""
        return 1 - F.cosine_similarity(student.float(), teacher.detach().float(), dim=1).mean()


@losses.register("mse", vectors=True, summary="squared difference of vectors (CLIP-KD; Yang et al., CVPR 2024)")
@dataclass(frozen=True)
class Mse:
    """:func:`relative_error`: the feature distillation of CLIP-KD (Yang et al., CVPR 2024, arXiv 2307.12732) and of
    FitNets (Romero et al., ICLR 2015)."""

    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        """See :mod:`exuno.distill.losses`."""
        return relative_error(student, teacher)
