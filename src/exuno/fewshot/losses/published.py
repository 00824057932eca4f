"""The patch loss of SMKD's published code, which is not that of the paper (Lin et al., CVPR 2023).

Its similarity sums the features of either side before it multiplies: sim(n, N) = (sum_c x_n,c) (sum_c y_N,c). So all
patches N of the teacher whose sum is positive match the same student's patch, that of the largest sum, and those whose
sum is negative match that of the smallest. Then

- a student's patch is sought for each teacher's patch, not the other way round;
- what is found in image j is read from the first image of the class, whichever j is;
- the teacher's outputs are those of the student's own view s; view t only gives features, and attention.

A term of views s != t and an image i of a class of m images: the mean over its images j != i and their patches N of
-<P_s(j, N), log softmax(z_s(first, n*))>, with n* the match of patch N of view t of i among the patches of view s of j.
With attention: the sum over all j, i too, weighted with view t's attention to patch N of j. The published code takes
the mean over all these terms, without attention only those of classes with m > 1.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from exuno.fewshot.losses.shared import Pairs, Term
from exuno.fewshot.losses.soft import soft_cross_entropy


def published_patch_level(
    student: Tensor,
    teacher: Tensor,
    student_features: Tensor,
    teacher_features: Tensor,
    pairs: Pairs,
    attention: Tensor | None,
) -> Term:
    """Only three patches of a view can be matched, so the targets are three weighted sums of the teacher's patches.

    Arguments as of :func:`exuno.fewshot.losses.smkd_patch.patch_level`, with T = B.
    """
    views, images, patches, outputs = student.shape
    same = pairs.positive | torch.eye(images, dtype=torch.bool, device=student.device)
    first = same.int().argmax(1)
    others = pairs.positive.sum(1)
    with torch.no_grad(), torch.autocast(student.device.type, enabled=False):
        found = F.normalize(student_features.float(), dim=-1).sum(-1)  # [G, B, P]
        sought = F.normalize(teacher_features.float(), dim=-1).sum(-1)
        # A sum of 0 has similarity 0 with all, and the first patch counts as the match.
        match = torch.stack([found.argmax(2), found.argmin(2), torch.zeros_like(found.argmin(2))], 2)  # [G, B, 3]
        sides = torch.stack([sought > 0, sought < 0, sought == 0], 2).float()  # [G, B, 3, P]
        if attention is None:
            share = pairs.positive / (patches * others.clamp(min=1)[:, None])
        else:
            share = same.float()
        weights = torch.einsum("ij,tizn->tjzn", share, sides)
        if attention is not None:
            weights = weights * attention.float()[:, :, None]
        apart = 1 - torch.eye(views, device=student.device)
        weights = torch.einsum("st,tjzn->sjzn", apart, weights)
        targets = (weights @ teacher.detach().float()).view(-1, outputs)
        view = torch.arange(views, device=student.device)[:, None, None]
        rows = ((view * images + first[:, None]) * patches + match).flatten()
    total = soft_cross_entropy(student.reshape(-1, outputs).index_select(0, rows), targets.__getitem__)
    terms = (others > 0).sum() if attention is None else others.new_full((), images)
    return Term(total, (terms * views * (views - 1)).to(total.dtype))
