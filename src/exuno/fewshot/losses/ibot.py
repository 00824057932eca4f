"""DINO and iBOT: views of one image have the same output, and so have hidden patches.

DINO: the views of one image have the same [CLS] output (Caron et al., ICCV 2021).

iBOT: patches that the student does not see are to be told from the others (Zhou et al., ICLR 2022).
"""

import torch
from torch import Tensor

from exuno.engine.devices import reads_are_free
from exuno.fewshot.losses.shared import Term, soft_cross_entropy
from exuno.fewshot.options import Mode


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


def hidden_rows(mask: Tensor, most: int | None = None) -> Tensor:
    """The places of the masked patches among all [G B P], int64 [M], each once.

    Where the device would have to be asked how many there are, there is room for ``most`` in each view: the masked ones
    come first, then others.

    Args:
        mask: bool [G, B, P], True where the student saw no patch.
        most: how many patches of a view are masked at most; default: all.
    """
    views, patches = mask.flatten(0, 1), mask.shape[2]
    if reads_are_free(mask.device):
        return mask.flatten().nonzero()[:, 0]
    most = patches if most is None else min(most, patches)
    rows = (~views).to(torch.uint8).argsort(dim=1, stable=True)[:, :most]
    return (rows + torch.arange(len(rows), device=mask.device)[:, None] * patches).flatten()


def masked(student: Tensor, teacher: Tensor, mask: Tensor, mode: Mode = "paper", rows: Tensor | None = None) -> Term:
    """Masked image modelling within a view; equation 2 of the paper.

    A term is -<P(g, b, k), log softmax(z(g, b, k))> of a masked patch k of view g of image b. Mode ``paper`` weighs
    every masked patch alike: count is their number. The published code (``reference``) takes the mean over the masked
    patches of a view, 0 where none is masked, and then over all views: count is the number of views, masked or not.

    Args:
        student: logits of the masked views, divided by the student's temperature, [G, B, P, K], or [M, K], those of
            ``rows`` alone.
        teacher: probabilities of the whole views, in the same form.
        mask: bool [G, B, P], True where the student saw no patch.
        mode: how patches are weighted.
        rows: of :func:`hidden_rows`, int64 [M]; what is not masked weighs nothing.
    """
    alone, outputs, exact = student.ndim == 2, student.shape[-1], reads_are_free(mask.device)
    rows = hidden_rows(mask) if rows is None else rows
    per_view, hidden = mask.flatten(0, 1).sum(1), mask.flatten()
    table = teacher.detach().reshape(-1, outputs)

    def targets(block: slice) -> Tensor:
        chosen = rows[block]
        found = table[block] if alone else table[chosen]
        if not exact:
            found = found * hidden[chosen, None]
        return found if mode == "paper" else found / per_view.clamp(min=1)[chosen // mask.shape[2], None]

    total = soft_cross_entropy(student.reshape(-1, outputs), targets, None if alone else rows)
    count = per_view.sum() if mode == "paper" else torch.full_like(per_view.sum(), len(per_view))
    return Term(total, count.to(total.dtype))
