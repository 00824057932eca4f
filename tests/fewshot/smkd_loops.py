"""The losses of few-shot transformers as one writes them down: loops over views, classes, images and pairs.

Each returns the mean over its terms, for autograd to differentiate; 0 where there are none. The yardstick of the tests
and of the benchmark, so they waste nothing that a loop need not waste: logarithms and norms are taken once, and
``unbind`` spares autograd a zero tensor of the whole batch for each image that is picked.
"""

import torch.nn.functional as F
from torch import Tensor


def groups(labels: Tensor) -> list[list[int]]:
    """Rows of each class; an image without a label is a class of its own."""
    found: dict[int, list[int]] = {}
    for row, label in enumerate(labels.tolist()):
        found.setdefault(label if label >= 0 else -1 - row, []).append(row)
    return list(found.values())


def cross_entropy(target: Tensor, log_student: Tensor) -> Tensor:
    """[..., K], [..., K] -> [...]."""
    return -(target * log_student).sum(-1)


def rows_of(x: Tensor) -> list[tuple[Tensor, ...]]:
    """[G, B, ...] -> what is of each image, by view and image."""
    return [view.unbind() for view in x.unbind()]


def dino(student: Tensor, teacher: Tensor) -> Tensor:
    total, count = student.sum() * 0, 0
    log_student = student.log_softmax(-1)
    for q, target in enumerate(teacher):
        for v, found in enumerate(log_student):
            if v != q:
                total, count = total + cross_entropy(target, found).sum(), count + len(found)
    return total / max(count, 1)


def masked(student: Tensor, teacher: Tensor, mask: Tensor, mode: str) -> Tensor:
    total, count = student.sum() * 0, 0
    terms = rows_of(cross_entropy(teacher, student.log_softmax(-1)))
    for g, view in enumerate(mask):
        for b, hidden in enumerate(view):
            patches = int(hidden.sum())
            if mode == "reference":
                total, count = total + (terms[g][b] * hidden).sum() / max(patches, 1), count + 1
            else:
                total, count = total + (terms[g][b] * hidden).sum(), count + patches
    return total / max(count, 1)


def class_level(student: Tensor, teacher: Tensor, labels: Tensor, mode: str) -> Tensor:
    total, count, views = student.sum() * 0, 0, len(teacher)
    log_student = rows_of(student.log_softmax(-1))
    for group in groups(labels):
        for b in group:
            for q in range(views):
                for v in range(len(student)):
                    if v != q and not (mode == "reference" and v < views):
                        total, count = total + cross_entropy(teacher[q, b], log_student[v][b]), count + 1
                    for other in group:
                        if other != b and v < views:
                            total, count = total + cross_entropy(teacher[q, other], log_student[v][b]), count + 1
    return total / max(count, 1)


def patch_level(
    student: Tensor,
    teacher: Tensor,
    student_features: Tensor,
    teacher_features: Tensor,
    labels: Tensor,
    attention: Tensor | None = None,
) -> Tensor:
    """The paper's: a student's patch learns from its best match in another image of its class, in another view."""
    total, count, views = student.sum() * 0, 0, len(student)
    log_student = rows_of(student.log_softmax(-1))
    student_features, teacher_features = F.normalize(student_features, dim=-1), F.normalize(teacher_features, dim=-1)
    for s in range(views):
        for t in range(views):
            for group in groups(labels) if s != t else []:
                for b in group:
                    for other in group:
                        if other != b:
                            match = (student_features[s, b] @ teacher_features[t, other].T).argmax(1)
                            terms = cross_entropy(teacher[t, other][match], log_student[s][b])
                            term = terms.mean() if attention is None else (terms * attention[s, b]).sum()
                            total, count = total + term, count + 1
    return total / max(count, 1)


def patch_level_published(
    student: Tensor,
    teacher: Tensor,
    student_features: Tensor,
    teacher_features: Tensor,
    labels: Tensor,
    attention: Tensor | None = None,
) -> Tensor:
    """What the published code computes; see ``exuno.fewshot.losses.smkd``."""
    total, count, (views, _, patches) = student.sum() * 0, 0, student.shape[:3]
    log_student = rows_of(student.log_softmax(-1))
    ours, theirs = F.normalize(student_features, dim=-1).sum(-1), F.normalize(teacher_features, dim=-1).sum(-1)
    for s in range(views):
        for t in range(views):
            for group in groups(labels) if s != t else []:
                for i in group:
                    parts = []
                    for j in group:
                        match = (theirs[t, i, :, None] * ours[s, j]).argmax(1)
                        terms = cross_entropy(teacher[s, j], log_student[s][group[0]][match])
                        if attention is not None:
                            parts.append((terms * attention[t, j]).sum())
                        elif j != i:
                            parts.append(terms.sum() / (patches * (len(group) - 1)))
                    total, count = sum(parts, total), count + bool(parts)
    return total / max(count, 1)
