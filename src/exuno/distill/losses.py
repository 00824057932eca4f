"""Losses between a student's and a teacher's logits: pure functions of tensors."""

import torch.nn.functional as F
from torch import Tensor


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


def argmax_target(student: Tensor, teacher: Tensor) -> Tensor:
    """Cross-entropy with the teacher's top class alone: an ablation of Asano and Saeed (arXiv 2112.00725).

    Args:
        student: logits [B, C].
        teacher: logits [B, C].

    Returns:
        A scalar, in nats, mean over the batch.
    """
    return F.cross_entropy(student.float(), teacher.argmax(1))


def hard_label(student: Tensor, labels: Tensor, partner: Tensor, share: float) -> Tensor:
    """Cross-entropy with true labels under mixing: ``share`` of label and ``1 - share`` of the partner's.

    Args:
        student: logits [B, C].
        labels: int64 [B], -1 where there is none, which counts for nothing; or soft labels float32 [B, C].
        partner: labels of the images mixed in, likewise.
        share: λ in [0, 1].

    Returns:
        A scalar, in nats, mean over the labelled images (0 if there are none).
    """
    known = len(labels) if labels.ndim == 2 else (labels >= 0).sum().clamp(min=1)

    def term(target: Tensor) -> Tensor:
        return F.cross_entropy(student.float(), target, ignore_index=-1, reduction="sum") / known

    return share * term(labels) + (1 - share) * term(partner)
