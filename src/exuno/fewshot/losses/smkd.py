"""SMKD: images of one class have the same output, on the [CLS] token and on matched patches.

SMKD on the [CLS] token: the images of one class have the same output (Lin et al., CVPR 2023).

SMKD on patches: what matches in two images of a class has the same output (Lin et al., CVPR 2023).

The patch loss of SMKD's published code, which is not that of the paper (Lin et al., CVPR 2023).

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

from exuno.engine.devices import reads_are_free
from exuno.engine.errors import ExunoError
from exuno.fewshot.losses.shared import Pairs, Targets, Term, blocks, soft_cross_entropy
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


def published_patch_level(
    student: Tensor,
    teacher: Tensor,
    student_features: Tensor,
    teacher_features: Tensor,
    pairs: Pairs,
    attention: Tensor | None,
) -> Term:
    """Only three patches of a view can be matched, so the targets are three weighted sums of the teacher's patches.

    Arguments as of :func:`exuno.fewshot.losses.smkd.patch_level`, with T = B.
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


def patch_level(
    student: Tensor,
    teacher: Tensor,
    student_features: Tensor,
    teacher_features: Tensor,
    pairs: Pairs,
    mode: Mode = "paper",
    attention: Tensor | None = None,
) -> Term:
    """Each patch of the student learns from its best match in every other image of its class, in every other view.

    A term is the mean over the patches k of view s of image b of -<P_t(r, k*), log softmax(z_s(b, k))>, with t != s, r
    a row of another image of the class, and k* the patch of view t of r whose feature has the largest cosine with that
    of k. ``attention`` weighs the patches in place of the mean.

    Mode ``reference`` computes what the published code does: see :mod:`exuno.fewshot.losses.smkd`.

    Args:
        student: [G, B, P, K], logits divided by the student's temperature.
        teacher: [G, T, P, K], probabilities.
        student_features: [G, B, P, D], of the backbone; no gradient flows into them.
        teacher_features: [G, T, P, D], likewise.
        pairs: of the B images and the T rows.
        mode: see above.
        attention: [G, B, P], weights of the student's patches that sum to 1; in mode ``reference`` those of the
            teacher's.

    Raises:
        ExunoError: mode ``reference`` with rows of other processes.
    """
    if mode == "reference":
        if teacher.shape[1] != student.shape[1]:
            raise ExunoError(
                f"the published patch loss of {student.shape[1]} images with {teacher.shape[1]} rows of a teacher",
                "It knows the images of one process only: take --mode paper, or --no-gather.",
            )
        return published_patch_level(student, teacher, student_features, teacher_features, pairs, attention)
    views, _, patches, outputs = student.shape
    positive = pairs.positive & (views > 1)  # one view alone has no terms
    weights = None if attention is None else attention.detach().float().reshape(-1, 1)
    find = exact_targets if reads_are_free(student.device) else all_targets
    with torch.no_grad(), torch.autocast(student.device.type, enabled=False):
        targets, rows = find(teacher.detach(), student_features, teacher_features, positive, weights)
    total = soft_cross_entropy(student.reshape(-1, outputs), targets, rows)
    if attention is None:
        total = total / patches
    return Term(total, (positive.sum() * views * (views - 1)).to(total.dtype))


def exact_targets(
    teacher: Tensor, student_features: Tensor, teacher_features: Tensor, positive: Tensor, weights: Tensor | None
) -> tuple[Targets, Tensor | None]:
    """The targets of the rows that have any, and these rows (None for all); how many they are is read.

    Args:
        teacher: probabilities [G, T, P, K].
        student_features: [G, B, P, D].
        teacher_features: [G, T, P, D].
        positive: bool [B, T].
        weights: of all rows, [G B P, 1].
    """
    (views, images, patches), outputs = student_features.shape[:3], teacher.shape[3]
    active = positive.sum(1).nonzero()[:, 0]
    bags, edges = matches(student_features, teacher_features, positive)
    starts = edges.to(bags.device)
    table = teacher.reshape(-1, outputs).float()
    rows = None
    if len(active) < images:
        view, patch = (torch.arange(n, device=active.device) for n in (views, patches))
        rows = ((view[:, None, None] * images + active[:, None]) * patches + patch).flatten()

    def targets(block: slice) -> Tensor:
        first, last = int(edges[block.start]), int(edges[block.stop])
        offsets = starts[block.start : block.stop + 1] - first
        found = torch.embedding_bag(table, bags[first:last], offsets, False, 0, False, None, True)[0]
        return found if weights is None else found.mul_(weights[block if rows is None else rows[block]])

    return targets, rows


def all_targets(
    teacher: Tensor, student_features: Tensor, teacher_features: Tensor, positive: Tensor, weights: Tensor | None
) -> tuple[Targets, None]:
    """The same for all rows, zeros where a row has no targets, without a size that depends on values.

    Every patch is matched with every image, which is a fast product on a GPU; those of other classes are left out of
    the sums, whose reading of wide rows is the slow part.
    """
    (views, images, patches, width), images_there = student_features.shape, teacher_features.shape[1]
    nothing, per_row = views * images_there * patches, images_there * (views - 1)
    scale = 1 / torch.linalg.vector_norm(teacher_features, dim=-1, dtype=torch.float32).clamp(min=1e-12)
    found = torch.empty(views, images, patches, images_there, views - 1, dtype=torch.int64, device=positive.device)
    row = torch.arange(images_there, device=positive.device)
    for s in range(views):
        for place, t in enumerate(t for t in range(views) if t != s):
            theirs = teacher_features[t].reshape(-1, width).float()
            for block in blocks(images, patches * len(theirs), positive.device):
                ours = student_features[s, block].float()
                cosine = (ours @ theirs.T).unflatten(2, (images_there, patches)).mul_(scale[t])
                match = cosine.argmax(3) + (t * images_there + row) * patches
                found[s, block, :, :, place] = torch.where(positive[block, None], match, nothing)
    bags = found.view(-1, per_row)
    # A last row of zeros for what is left out, which the sums skip.
    table = F.pad(teacher.reshape(nothing, -1).float(), (0, 0, 0, 1))

    def targets(block: slice) -> Tensor:
        chosen = bags[block]
        starts = torch.arange(len(chosen), device=bags.device) * per_row
        told = torch.embedding_bag(table, chosen.flatten(), starts, False, 0, False, None, False, nothing)[0]
        return told if weights is None else told.mul_(weights[block])

    return targets, None


def matches(student: Tensor, teacher: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """The best matches of each patch of the images that have positives.

    Args:
        student: features [G, B, P, D].
        teacher: features [G, T, P, D].
        positive: bool [B, T].

    Returns:
        Positions in the teacher's [G T P] patches, int64, all those of a student's patch side by side; and, on the CPU,
        where those of each patch begin, int64 [G A P + 1], for the A images that have positives.
    """
    (views, _, patches, width), rows = student.shape, teacher.shape[1]
    # The length of the student's feature changes no maximum; that of the teacher's is a factor of the product.
    scale = 1 / torch.linalg.vector_norm(teacher, dim=-1, dtype=torch.float32).clamp(min=1e-12)
    image, row = positive.nonzero().unbind(1)
    found = torch.empty(views, len(image), views - 1, patches, dtype=torch.int64, device=image.device)
    for s in range(views):
        for place, t in enumerate(t for t in range(views) if t != s):
            for block in blocks(len(image), patches * width, image.device):
                ours, theirs = student[s, image[block]].float(), teacher[t, row[block]].float()
                cosine = torch.bmm(ours, theirs.transpose(1, 2)).mul_(scale[t, row[block], None])
                found[s, block, place] = cosine.argmax(2) + (t * rows + row[block, None]) * patches
    # From [image, its positives, other views, patch] to [image, patch, its positives and other views].
    per_image = positive.sum(1) * (views - 1)
    before = per_image.cumsum(0) - per_image
    rank = torch.arange(len(image) * (views - 1), device=image.device).view(len(image), views - 1) - before[image, None]
    patch = torch.arange(patches, device=image.device)
    place = (before * patches)[image, None, None] + patch * per_image[image, None, None] + rank[..., None]
    bags = torch.empty_like(found).view(views, -1).scatter_(1, place.flatten().expand(views, -1), found.view(views, -1))
    sizes = per_image[per_image > 0].cpu().repeat_interleave(patches).repeat(views)
    return bags.flatten(), F.pad(sizes.cumsum(0), (1, 0))
