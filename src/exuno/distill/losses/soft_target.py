"""Soft targets: the student imitates the teacher's probabilities at a temperature."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from exuno.distill.options import losses

EPSILON = 1e-7  # against a division by 0, as in the published code


def soft_target(student: Tensor, teacher: Tensor, temperature: float, t2: bool = False) -> Tensor:
    """KL(softmax(teacher/T) || softmax(student/T)), summed over classes, mean over the batch.

    Hinton, Vinyals and Dean (2015), section 2. They multiply by T², which keeps the size of the gradient as T grows;
    Asano and Saeed (arXiv 2112.00725) do not.

    Args:
        student: logits [B, C].
        teacher: logits [B, C]; no gradient flows into them.
        temperature: T > 0.
        t2: multiply by T².

    Returns:
        A scalar, in nats (times T² if asked).
    """
    log_student = F.log_softmax(student.float() / temperature, dim=1)
    log_teacher = F.log_softmax(teacher.detach().float() / temperature, dim=1)
    loss = F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
    return loss * temperature**2 if t2 else loss


def standardise(logits: Tensor) -> Tensor:
    """z-scores of each sample's logits over its classes: (z - mean(z)) / std(z).

    Sun, Ren, Li, Wang and Cao, "Logit Standardization in Knowledge Distillation" (CVPR 2024, arXiv 2403.01427),
    algorithm 1. Given to ``soft_target`` for student and teacher, the temperature is T std(z), each sample's and each
    model's own: the student imitates the order and proportions of the teacher's logits, not their size. A teacher's
    logits that are shifted or multiplied by a positive number teach the same, so T no longer depends on how peaked
    the teacher is. The z-scores have variance 1: T = 1 is soft, and the paper uses 2.

    The standard deviation is that of the paper, over K classes; its code divides by K - 1, which is a temperature
    sqrt(K / (K - 1)) times as high (1.005 for 100 classes).

    Args:
        logits: [B, C], C at least 2.

    Returns:
        Float32 [B, C], mean 0 and variance 1 in each row; all 0 where the logits of a row are equal.
    """
    centred = logits.float() - logits.float().mean(1, keepdim=True)
    return centred / (centred.pow(2).mean(1, keepdim=True).sqrt() + EPSILON)


@losses.register("kl", summary="KL divergence of softened probabilities (Hinton et al., 2015)")
@dataclass(frozen=True)
class SoftTarget:
    """:func:`soft_target` of the logits, or of their z-scores."""

    temperature: float = 8.0
    """T."""
    t2: bool = False
    """Multiply by T²."""
    standardise: bool = False
    """Compare z-scores: see :func:`standardise`."""

    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        """See :mod:`exuno.distill.losses`."""
        if self.standardise:
            student, teacher = standardise(student), standardise(teacher)
        return soft_target(student, teacher, self.temperature, self.t2)
