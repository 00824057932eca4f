"""Logistic regression on the support, converged, for all episodes of a chunk at once.

The minimum is that of ``sklearn.linear_model.LogisticRegression(C=1)``: the sum of cross-entropies plus |W|^2 / 2, the
bias free; two classes are one weight vector there, which is the same as twice the penalty here. The weights at the
minimum lie in the span of the m = n k support features, so the problem is solved in coordinates of it: from the Gram
matrix K = U diag(s) U^T the support gets the coordinates U diag(sqrt(s)), m numbers instead of D. Newton's method, each
direction by conjugate gradients (Hestenes and Stiefel, 1952), each step halved until the sum falls enough; in float64.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from exuno.engine.errors import ExunoError
from exuno.fewshot.heads.score import Chunk, Scores, Support, learns, num_correct
from exuno.fewshot.options import heads

_STEPS, _CLOSE, _GRAM = 60, 1e-9, 2**22


def learn(support: Support) -> Scores:
    """Scores are probabilities.

    Raises:
        ExunoError: the training does not converge (features of an extreme size).
    """
    weights, bias = (x[0].to(support.features) for x in fit(support.features[None], support.way, support.labels))
    return lambda queries: F.linear(queries, weights, bias).softmax(1)


@heads.register("logistic", label="logistic regression")
@learns(learn)
def classify(chunk: Chunk) -> Tensor:
    """Queries that are right, int64 [E].

    Raises:
        ExunoError: the training does not converge (features of an extreme size).
    """
    table, support, query = chunk.table, chunk.support, chunk.query
    found = []
    some = max(1, _GRAM // (support[0].numel() ** 2 + support.shape[1] * table.features.shape[1]))
    for near, far in zip(support.split(some), query.split(some), strict=True):
        weights, bias = fit(table.features[near.flatten(1)], near.shape[1])
        found.append(num_correct(table, weights.to(table.features), bias.to(table.features), far))
    return torch.cat(found)


def fit(x: Tensor, way: int, own: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Weights [E, n, D] and bias [E, n], float64, from features [E, m, D] of the support, class by class, as many of
    each; or whose classes are ``own``, int64 [m]."""
    x = x.double()
    episodes, images, _ = x.shape
    size, turn = torch.linalg.eigh(torch.bmm(x, x.transpose(1, 2)))
    size = size.clamp_min(0).sqrt()
    place = torch.cat([turn * size[:, None], torch.ones_like(turn[..., :1])], 2)  # the last coordinate is for the bias
    own = torch.arange(way, device=x.device).repeat_interleave(images // way) if own is None else own
    onehot = F.one_hot(own, way).T.to(x)
    penalty = torch.full((images + 1,), 2.0 if way == 2 else 1.0, dtype=x.dtype, device=x.device)
    penalty[-1] = 0
    weights = _minimum(place, onehot, penalty, x.new_zeros(episodes, way, images + 1))
    # In the span: W = w^T x with x = U diag(size) V^T, V^T = diag(1 / size) U^T x; those of no size have no weight.
    back = torch.where(size > 1e-7 * size.amax(1, keepdim=True), 1 / size, 0)[:, None] * weights[..., :-1]
    return torch.bmm(torch.bmm(back, turn.transpose(1, 2)), x), weights[..., -1]


def _minimum(place: Tensor, onehot: Tensor, penalty: Tensor, weights: Tensor) -> Tensor:
    """Newton's method from ``weights`` [E, n, m + 1]; ``place`` [E, m, m + 1] holds the support, ``onehot`` [n, m]."""

    def loss(weights: Tensor) -> Tensor:
        scores = torch.bmm(weights, place.transpose(1, 2))
        return (scores.logsumexp(1) - (scores * onehot).sum(1)).sum(1) + (penalty * weights**2).sum((1, 2)) / 2

    for _ in range(_STEPS):
        chance = torch.bmm(weights, place.transpose(1, 2)).softmax(1)
        grad = torch.bmm(chance - onehot, place) + penalty * weights
        grad[..., -1] -= grad[..., -1].mean(1, keepdim=True)  # rounding; the same bias for all classes changes nothing
        steep = grad.norm(dim=(1, 2))
        if bool((steep < _CLOSE * (1 + place.norm(dim=(1, 2)))).all()):
            return weights
        move = _newton(place, chance, penalty, grad)
        fall, before, length = (grad * move).sum((1, 2)), loss(weights), torch.ones_like(steep)
        for _ in range(30):
            short = loss(weights - length[:, None, None] * move) <= before - 1e-4 * length * fall + 1e-12 * before.abs()
            if bool(short.all()):
                break
            length = torch.where(short, length, length / 2)
        weights = weights - length[:, None, None] * move
    raise ExunoError("logistic regression does not converge on these features", "Scale them, or use another --head.")


def _newton(place: Tensor, chance: Tensor, penalty: Tensor, grad: Tensor) -> Tensor:
    """Solves Hessian · move = grad by conjugate gradients, to a residual that shrinks with the gradient."""

    def curved(move: Tensor) -> Tensor:
        told = chance * torch.bmm(move, place.transpose(1, 2))
        return torch.bmm(told - chance * told.sum(1, keepdim=True), place) + penalty * move

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum((1, 2), keepdim=True)

    # Divided by an upper bound of the Hessian's diagonal, as the coordinates differ in size by orders of magnitude.
    spread = torch.bmm(chance * (1 - chance), place**2) + penalty
    spread = spread.clamp_min(1e-12 * spread.amax((1, 2), keepdim=True))
    move, left = torch.zeros_like(grad), grad.clone()
    ahead = way = left / spread
    size, goal = dot(left, ahead), dot(grad, grad) * torch.clamp(dot(grad, grad).sqrt(), 1e-4, 0.1) ** 2
    for _ in range(grad[0].numel()):
        if bool((dot(left, left) <= goal).all()):
            break
        bent = curved(way)
        bend = dot(way, bent)
        length = torch.where(bend > 0, size / bend, 0)
        move, left = move + length * way, left - length * bent
        ahead = left / spread
        fresh = dot(left, ahead)
        way = ahead + torch.where(size > 0, fresh / size, 0) * way
        size = fresh
    return move
