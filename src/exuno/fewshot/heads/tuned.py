"""Prototypes that are fine-tuned on the support as the weights of a cosine classifier, for all episodes of a chunk at
once.

A cosine classifier says tau cos(w_i, x) of class i (Gidaris and Komodakis, CVPR 2018; Chen et al., "A Closer Look at
Few-shot Classification", ICLR 2019; tau = 10 as in Chen et al., "Meta-Baseline", ICCV 2021). Unlike ``cosine``, which
starts from random weights and takes the published steps, this one starts from the prototypes (as Dhillon et al., ICLR
2020), takes few steps of gradient descent on the whole support, and draws nothing.

The gradient of w_i lies in the span of w_i and the m = n k features of the support, which have the length 1 here. So
w_i = sum_j c_ij x_j throughout, and the training runs on c [E, n, m] and the Gram matrix of the support: with p the
probabilities, y the classes and u_il = cos(w_i, x_l), the gradient in c is tau / (m |w_i|) ((p - y)_il - c_il / |w_i|
sum_j (p - y)_ij u_ij), of which the second term keeps the length. The weights get the length 1 after each step.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from exuno.fewshot.heads.score import Chunk, Scores, Support, learns, num_correct
from exuno.fewshot.options import heads

SCALE, RATE, STEPS = 10.0, 0.03, 30
"""tau, the rate of gradient descent and its steps, chosen on validation classes of CIFAR-FS (docs/reproductions.md)."""
_GRAM = 2**24  # numbers of the Gram matrices of the episodes that train together


def learn(support: Support) -> Scores:
    """Scores are probabilities."""
    weights = fit(support.features[None], support.way, support.labels)[0]
    return lambda queries: (SCALE * F.normalize(queries) @ weights.T).softmax(1)


@heads.register("tuned", label="tuned prototypes")
@learns(learn)
def classify(chunk: Chunk) -> Tensor:
    """Queries that are right, int64 [E]."""
    table, support, query = chunk.table, chunk.support, chunk.query
    found = []
    some = max(1, _GRAM // (support[0].numel() ** 2 + support.shape[1] * table.features.shape[1]))
    for near, far in zip(support.split(some), query.split(some), strict=True):
        weights = fit(table.features[near.flatten(1)], near.shape[1])
        found.append(num_correct(table, weights, None, far))
    return torch.cat(found)


def fit(x: Tensor, way: int, own: Tensor | None = None, steps: int = STEPS) -> Tensor:
    """Weights of length 1, [E, n, D].

    Args:
        x: features of the support, [E, m, D], class by class, as many of each; or whose classes are ``own``.
        way: classes, n.
        own: class of each image of the support, int64 [m].
        steps: of gradient descent; 0 gives the prototypes.
    """
    images = x.shape[1]
    own = torch.arange(way, device=x.device).repeat_interleave(images // way) if own is None else own
    onehot = F.one_hot(own, way).T.to(x)
    # The prototypes are those of ``prototype``: means of the features as they come.
    length = x.norm(dim=2).clamp_min(1e-30)
    x = x / length[..., None]
    gram = torch.bmm(x, x.transpose(1, 2))
    share = length[:, None] * onehot
    share = share / _size(share, torch.bmm(share, gram))
    for _ in range(steps):
        cosines = torch.bmm(share, gram)
        error = ((SCALE * cosines).softmax(1) - onehot) / images
        share = share - RATE * SCALE * (error - (error * cosines).sum(2, keepdim=True) * share)
        share = share / _size(share, torch.bmm(share, gram))
    return torch.bmm(share, x)


def _size(share: Tensor, said: Tensor) -> Tensor:
    """|w| [E, n, 1] from its coordinates and what it says about the support; 1 where features are nothing but zeros."""
    size = (share * said).sum(2, keepdim=True).clamp_min(0).sqrt()
    return torch.where(size > 1e-12, size, 1)
