"""SMKD on the [CLS] token: the images of one class have the same output (Lin et al., CVPR 2023)."""

import torch
from torch import Tensor

from exuno.fewshot.losses.shared import Pairs, Term
from exuno.fewshot.losses.soft import soft_cross_entropy
from exuno.fewshot.options import Mode


def class_level(student: Tensor, teacher: Tensor, pairs: Pairs, mode: Mode = "paper") -> Term:
    """Supervised contrast without negatives, on the [CLS] outputs.

    A term is -<P_q(t), log softmax(z_v(b))> of a student's view v of image b and a teacher's global view q of row t:

    - t is the same image, and v any other view than q, as in DINO;
    - t is another image of the class, and v any global view, q too. Local views meet no other images.

    The published code (``reference``) leaves out the terms of the same image where v is global: a global view learns
    from other images only.

    Args:
        student: [V, B, K], logits divided by the student's temperature; the first G views are those of the teacher.
        teacher: [G, T, K], probabilities.
        pairs: of the B images and the T rows.
        mode: which terms there are.
    """
    (views, images, outputs), seen = student.shape, len(teacher)
    with torch.no_grad(), torch.autocast(student.device.type, enabled=False):
        teacher = teacher.detach().float()
        every = teacher.sum(0)
        own = every[pairs.own]
        targets = own.repeat(views, 1, 1)
        targets[:seen] = pairs.positive.to(every.dtype) @ every
        if mode == "paper":
            targets[:seen] += own - teacher[:, pairs.own]
    total = soft_cross_entropy(student.reshape(-1, outputs), targets.view(-1, outputs).__getitem__)
    same = seen * images * (views - 1 if mode == "paper" else views - seen)
    return Term(total, (pairs.positive.sum() * seen**2 + same).to(total.dtype))
