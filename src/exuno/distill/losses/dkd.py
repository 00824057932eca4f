"""Decoupled Knowledge Distillation: Zhao, Cui, Song, Qiu and Liang (CVPR 2022, arXiv 2203.08679)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from exuno.distill.options import losses


@losses.register("dkd", summary="decoupled: target class against the rest, and the rest (Zhao et al., CVPR 2022)")
@dataclass(frozen=True)
class DecoupledDistillation:
    """KL divergence in two parts (equation 7): whether it is the target class, and which of the others it is. Plain
    distillation weighs the second part by 1 - p of the teacher's target class, which a sure teacher makes vanish.

    The target class is the true label where the student learns from these (``--loss.hard``) and the image is not mixed,
    else the teacher's top class.
    """

    temperature: float = 4.0
    """T; both parts are multiplied by T²."""
    alpha: float = 1.0
    """Weight of the target class against all others (TCKD)."""
    beta: float = 8.0
    """Weight of the others among themselves (NCKD); the paper has 1 to 10, 8 for most pairs on CIFAR-100."""

    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        """See :mod:`exuno.distill.losses`."""
        student, teacher = student.float() / self.temperature, teacher.detach().float() / self.temperature
        target = torch.where(labels >= 0, labels, teacher.argmax(1))[:, None]
        parts = [self._parts(logits, target) for logits in (student, teacher)]
        (binary, rest), (binary_teacher, rest_teacher) = parts
        tckd = F.kl_div(binary, binary_teacher, reduction="batchmean", log_target=True)
        nckd = F.kl_div(rest, rest_teacher, reduction="batchmean", log_target=True)
        return (self.alpha * tckd + self.beta * nckd) * self.temperature**2

    @staticmethod
    def _parts(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Log probabilities: of the target class and of all others together [B, 2], and of each other class given that
        it is one of them [B, C - 1]."""
        others = torch.arange(logits.shape[1] - 1, device=logits.device).expand(len(logits), -1)
        rest = logits.gather(1, others + (others >= target))
        binary = torch.cat([logits.gather(1, target), rest.logsumexp(1, keepdim=True)], 1)
        return F.log_softmax(binary, 1), F.log_softmax(rest, 1)
