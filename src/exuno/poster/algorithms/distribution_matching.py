"""Distribution matching (Zhao and Bilen, "Dataset Condensation with Distribution Matching", WACV 2023): the mean
features of each class under a random network are to be the same for patches as for real images."""

import torch
from torch import Tensor

from exuno.engine.errors import ExunoError
from exuno.poster.context import InnerLoopContext
from exuno.poster.options import algorithms


@algorithms.register("dm")
def distribution_matching(
    context: InnerLoopContext, images: Tensor, labels: Tensor, real: Tensor, classes: Tensor, number: int
) -> Tensor:
    """See :class:`exuno.poster.context.Algorithm`; equation 6 of the paper.

    A patch counts for each class with its share of that class's labels, so that hard labels give the paper's mean.
    """
    net = context.fresh(number).train()
    if not hasattr(net, "forward_features"):
        raise ExunoError("this network does not tell its features", "Take an exuno: or timm: model for --algorithm dm.")
    patches, soft = context.batch(images, labels, number)
    # Only classes that this batch has on both sides can be compared.
    present = torch.zeros(labels.shape[1], device=real.device).index_fill_(0, classes, 1) * (soft.sum(0) > 0)
    hard = torch.nn.functional.one_hot(classes, labels.shape[1]).to(real)
    with torch.no_grad():
        target = means(net.forward_features(real).flatten(1), hard)  # pyright: ignore[reportCallIssue]
    found = means(net.forward_features(patches).flatten(1), soft)  # pyright: ignore[reportCallIssue]
    return ((found - target).square().sum(1) * present).sum()


def means(features: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean features of each class: [N, D], [N, K] -> [K, D]; 0 for a class of no weight."""
    return (weights / weights.sum(0).clamp(min=1e-12)).T @ features
