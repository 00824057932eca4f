"""DIST: Huang, You, Wang, Qian and Xu, "Knowledge Distillation from A Stronger Teacher" (NeurIPS 2022, arXiv
2205.10536)."""

from dataclasses import dataclass

from torch import Tensor

from exuno.distill.options import losses

EPSILON = 1e-8


def pearson_distance(a: Tensor, b: Tensor, axis: int) -> Tensor:
    """1 minus Pearson's correlation of two matrices along an axis, mean over the other (equation 7).

    Args:
        a: [B, C].
        b: [B, C].
        axis: along which they are correlated: 1 for each row, 0 for each column.

    Returns:
        A scalar in [0, 2].
    """
    a, b = a - a.mean(axis, keepdim=True), b - b.mean(axis, keepdim=True)
    product = (a * b).sum(axis)
    norms = (a.pow(2).sum(axis) * b.pow(2).sum(axis) + EPSILON**2).sqrt()
    return 1 - (product / norms).mean()


@losses.register("dist", summary="correlation between and within classes (DIST; Huang et al., NeurIPS 2022)")
@dataclass(frozen=True)
class Dist:
    """Correlations instead of equal probabilities: the student may be less sure than the teacher, as long as it orders
    the classes of each image alike (inter-class relation) and the images of a batch alike for each class (intra-class
    relation)."""

    beta: float = 1.0
    """Weight of the inter-class relation."""
    gamma: float = 1.0
    """Weight of the intra-class relation."""
    tau: float = 1.0
    """Temperature of the probabilities; the loss is multiplied by its square. The paper takes 1, on CIFAR-100 4."""

    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        """See :mod:`exuno.distill.losses`."""
        p, q = ((logits.float() / self.tau).softmax(1) for logits in (student, teacher.detach()))
        return (self.beta * pearson_distance(p, q, 1) + self.gamma * pearson_distance(p, q, 0)) * self.tau**2
