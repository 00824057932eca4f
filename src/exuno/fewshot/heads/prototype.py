"""The mean of a class's support features is its prototype; a query belongs to the one of largest cosine similarity.

Snell, Swersky and Zemel, "Prototypical Networks for Few-shot Learning", NeurIPS 2017, with the cosine in place of the
distance, as in the published evaluation of SMKD. Features are used as they come. The length of a query changes nothing.
"""

import torch.nn.functional as F
from torch import Tensor

from exuno.fewshot.heads.score import Chunk, Scores, Support, learns, num_correct
from exuno.fewshot.options import heads


def prototypes(features: Tensor, support: Tensor) -> Tensor:
    """Means of length 1 of the support, float [E, n, D], from features [N, D] and positions [E, n, k]."""
    episodes, way, shot = support.shape
    means = F.embedding_bag(support.reshape(-1, shot), features, mode="mean")
    means /= means.norm(dim=1, keepdim=True).clamp_min(1e-30)
    return means.view(episodes, way, -1)


def learn(support: Support) -> Scores:
    """Scores are cosine similarities with the prototypes."""
    sums = support.features.new_zeros(support.way, support.features.shape[1])
    means = F.normalize(sums.index_add_(0, support.labels, support.features) / support.labels.bincount()[:, None])
    return lambda queries: F.normalize(queries) @ means.T


@heads.register("prototype", label="nearest prototype")
@learns(learn)
def classify(chunk: Chunk) -> Tensor:
    """Queries that are right, int64 [E]."""
    return num_correct(chunk.table, prototypes(chunk.table.features, chunk.support), None, chunk.query)
