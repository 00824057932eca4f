"""The mean of a class's support features is its prototype; a query belongs to the one of largest cosine similarity.

Snell, Swersky and Zemel, "Prototypical Networks for Few-shot Learning", NeurIPS 2017, with the cosine in place of the
distance, as in the published evaluation of SMKD. Features are used as they come. The length of a query changes nothing.
"""

import torch.nn.functional as F
from torch import Tensor

from exuno.fewshot.heads.score import Table, dense, num_correct

_LARGE = 2**35  # multiplications from which importing numba pays: 240,000 episodes of 5 x 15 queries of 384 numbers


def prototypes(features: Tensor, support: Tensor) -> Tensor:
    """Means of length 1 of the support, float [E, n, D], from features [N, D] and positions [E, n, k]."""
    episodes, way, shot = support.shape
    means = F.embedding_bag(support.reshape(-1, shot), features, mode="mean")
    means /= means.norm(dim=1, keepdim=True).clamp_min(1e-30)
    return means.view(episodes, way, -1)


def classify(table: Table, support: Tensor, query: Tensor, total: int = 0) -> Tensor:
    """Queries that are right, int64 [E]; positions: support [E, n, k], query [E, n, q].

    ``total``, the episodes of all calls, decides whether ``fused`` computes them. Only what is the same in any process
    decides, for the last bits of scores are not those of torch.
    """
    _, way, count = query.shape
    large = total * way * count * way * table.features.shape[1] >= _LARGE
    if large and table.features.device.type == "cpu" and not dense(table, query):
        try:
            from exuno.fewshot.heads import fused
        except (ImportError, RuntimeError):  # no numba, one that is too old for this NumPy, or nowhere to keep its code
            pass
        else:
            return fused.classify(table.features, support, query)
    return num_correct(table, prototypes(table.features, support), None, query)
