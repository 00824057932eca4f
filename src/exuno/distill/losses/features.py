"""Feature imitation: the student's penultimate features follow the teacher's, through a linear layer that learns (the
hints of FitNets: Romero et al., ICLR 2015, arXiv 1412.6550, section 2.2, at the last layer)."""

from dataclasses import dataclass

from torch import Tensor, nn

from exuno.distill.losses import OnFeatures
from exuno.distill.losses.soft_target import soft_target
from exuno.distill.losses.vector import relative_error
from exuno.distill.options import losses


@losses.register("features", summary="penultimate features, and soft targets beside them (FitNets, ICLR 2015)")
@dataclass(frozen=True)
class FeatureImitation(OnFeatures):
    """Squared distance of the features, each image's divided by their number and their mean square in the teacher, so
    that its size does not depend on the network; plus soft targets."""

    temperature: float = 8.0
    """T of the soft targets."""
    t2: bool = False
    """Multiply the soft targets by T²."""
    weight: float = 1.0
    """Weight of the features."""
    logits: float = 1.0
    """Weight of the soft targets; 0 leaves the last layer of the student as it began."""

    def projection(self, student: int, teacher: int) -> nn.Module:
        """See :meth:`OnFeatures.projection`."""
        return nn.Linear(student, teacher)

    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor, projected: Tensor, features: Tensor) -> Tensor:
        """See :meth:`OnFeatures.__call__`."""
        distance = relative_error(projected, features)
        if not self.logits:
            return self.weight * distance
        return self.weight * distance + self.logits * soft_target(student, teacher, self.temperature, self.t2)
