"""DINO: the views of one image have the same [CLS] output (Caron et al., ICCV 2021)."""

from torch import Tensor

from exuno.fewshot.losses.shared import Term
from exuno.fewshot.losses.soft import soft_cross_entropy


def dino(student: Tensor, teacher: Tensor) -> Term:
    """Every other view of the student learns from each global view of the teacher; equation 3 of the paper.

    A term is -<P_q(b), log softmax(z_v(b))> of an image b, a teacher's view q and a student's view v != q. The
    published code computes the same, so there is no mode.

    Args:
        student: [V, B, K], logits divided by the student's temperature; the first G views are those of the teacher.
        teacher: [G, B, K], probabilities.
    """
    (views, images, outputs), seen = student.shape, len(teacher)
    teacher = teacher.detach().float()
    targets = teacher.sum(0).repeat(views, 1, 1)
    targets[:seen] -= teacher
    total = soft_cross_entropy(student.reshape(-1, outputs), targets.view(-1, outputs).__getitem__)
    return Term(total, total.new_full((), seen * (views - 1) * images))
