"""A linear layer trained on the support by SGD, for all episodes of a chunk at once and without their features.

What is trained is that of the published evaluation of SMKD (after Chen et al., "A Closer Look at Few-shot
Classification", ICLR 2019): SGD with learning rate 0.01, momentum and dampening 0.9 and weight decay 0.001 on batches
of 4 of the support, 301 passes. ``linear`` is a layer with bias; ``cosine`` has no bias, features x / (|x| + 1e-5) and
weights g v / |v| of which length g and direction v are trained, and its scores are doubled.

A direction v of class i never leaves the span of its first value v0 and the m = n k features of the support: v = a v0
+ sum_j c_j x_j. So the training runs on ``c`` and on what v says about the support, h_j = <v, x_j>, which change by the
Gram matrix of the support; with a and <v, v0> they also give |v|^2. All of it is linear in v, so momentum and weight
decay treat it as they treat v: the row (c, h, a, <v, v0>) of 2 m + 2 numbers stands for D of them.
"""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from exuno.data import rng
from exuno.fewshot.heads.score import Chunk, Scores, Support, learns, num_correct
from exuno.fewshot.options import heads

PASSES, BATCH, RATE, MOMENTUM, DAMPENING, DECAY, SCALE = 301, 4, 0.01, 0.9, 0.9, 0.001, 2.0
_GRAM = 2**24  # numbers of the Gram matrices of the episodes that train together
Kind = Literal["linear", "cosine"]


def start(seed: int, episode: Tensor, way: int, wide: int) -> Tensor:
    """Weights before the training as ``torch.nn.Linear`` draws them, uniform in ±1/sqrt(D); and the bias last.

    Pure function of (seed, number of the episode): float64 [E, n, D + 1].
    """
    chance = rng.uniforms(seed, "fewshot weights", episode.cpu().numpy(), way * (wide + 1))
    return torch.from_numpy((2 * chance - 1) / wide**0.5).view(len(episode), way, wide + 1)


def order(seed: int, episode: Tensor, images: int, number: int) -> Tensor:
    """Order of the support in a pass, int64 [E, images]; pure function of (seed, number of the episode, pass)."""
    words = rng.bits(seed, "fewshot order", episode.cpu().numpy(), images, first=number * images)
    return torch.from_numpy(np.argsort(words, axis=1, kind="stable"))


def learn(support: Support, kind: Kind = "linear") -> Scores:
    """Scores are probabilities; what is drawn is that of the first episode."""
    x, first = support.features, torch.zeros(1, dtype=torch.int64)
    weights, bias = train(x[None], support.way, first, kind, support.seed, own=support.labels)

    def score(queries: Tensor) -> Tensor:
        if bias is not None:
            return F.linear(queries, weights[0], bias[0]).softmax(1)
        return (SCALE * queries / (queries.norm(dim=1, keepdim=True) + 1e-5) @ weights[0].T).softmax(1)

    return score


def learn_cosine(support: Support) -> Scores:
    """The same for a layer of cosines."""
    return learn(support, "cosine")


@heads.register("linear", label="linear classifier")
@learns(learn)
def linear(chunk: Chunk) -> Tensor:
    """Queries that a linear layer gets right, int64 [E]."""
    return _classify(chunk, "linear")


@heads.register("cosine", label="cosine classifier")
@learns(learn_cosine)
def cosine(chunk: Chunk) -> Tensor:
    """Queries that a layer of cosines gets right, int64 [E]."""
    return _classify(chunk, "cosine")


def _classify(chunk: Chunk, kind: Kind) -> Tensor:
    table, support, query = chunk.table, chunk.support, chunk.query
    found = []
    some = max(1, _GRAM // (support[0].numel() ** 2 + support.shape[1] * table.features.shape[1]))
    for near, far, numbers in zip(support.split(some), query.split(some), chunk.numbers.split(some), strict=True):
        weights, bias = train(table.features[near.flatten(1)], near.shape[1], numbers, kind, chunk.seed)
        found.append(num_correct(table, weights, bias, far))
    return torch.cat(found)


def train(
    x: Tensor, way: int, episode: Tensor, kind: Kind, seed: int, passes: int = PASSES, own: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Weights [E, n, D] and bias [E, n] (None: cosine) after the training.

    Args:
        x: features of the support, [E, n k, D], class by class; their precision is that of the result.
        way: classes, n.
        episode: number of each episode, [E].
        kind: which layer.
        seed: the user's seed.
        passes: how often the support is seen.
        own: class of each image of the support, int64 [m], where classes have different numbers of them.
    """
    cosine = kind == "cosine"
    if cosine:
        x = x / (x.norm(dim=2, keepdim=True) + 1e-5)
    images = x.shape[1]
    drawn = start(seed, episode, way, x.shape[2]).to(x)
    first = drawn[..., :-1]
    own = torch.arange(way, device=x.device).repeat_interleave(images // way) if own is None else own
    layers = _Layers(first, x, own, cosine, None if cosine else drawn[..., -1])
    for number in range(passes):
        layers.shuffle(order(seed, episode, images, number).to(x.device))
        for begin in range(0, images, BATCH):
            layers.step(slice(begin, min(begin + BATCH, images)))
    return layers.weights(first, x), None if cosine else layers.extra


class _Layers:
    """The layers of all episodes, trained together; the m columns of the support are in the order of the pass."""

    def __init__(self, first: Tensor, x: Tensor, own: Tensor, cosine: bool, bias: Tensor | None) -> None:
        (episodes, images, _), way = x.shape, first.shape[1]
        square = (first * first).sum(2, keepdim=True)
        # In the order of the support: <x_j, x_l> [E, m, m], <v0, x_j> [E, n, m], labels [E, n, m].
        self.gram = torch.bmm(x, x.transpose(1, 2))
        self.early = torch.bmm(first, x.transpose(1, 2))
        self.onehot = F.one_hot(own, way).T.to(x).expand(episodes, way, images)
        self.cosine = cosine
        self.state = torch.cat([torch.zeros_like(self.early), self.early, torch.ones_like(square), square], 2)
        """(c, h, a, <v, v0>) of each class, [E, n, 2 m + 2]."""
        self.extra = square[..., 0].sqrt() if bias is None else bias
        """Lengths g (cosine) or bias (linear), [E, n]."""
        self.speed = self.speed_extra = None  # momentum of both; none before the first step
        self.place = torch.arange(images, device=x.device).expand(episodes, -1)
        """Which image of the support each column is, [E, m]."""

    def weights(self, first: Tensor, x: Tensor) -> Tensor:
        """Weights v, or g v / |v|, [E, n, D]."""
        images = x.shape[1]
        back = self.place.argsort(1)[:, None].expand_as(self.early)
        weights = self.state[..., -2, None] * first + torch.bmm(self.state[..., :images].gather(2, back), x)
        return weights * (self.extra / weights.norm(dim=2))[..., None] if self.cosine else weights

    def shuffle(self, order: Tensor) -> None:
        """Bring the columns into the order [E, m] of a pass, so that a batch is a slice."""
        images, way = order.shape[1], self.state.shape[1]
        move = self.place.argsort(1).gather(1, order)  # where the columns are now
        last = torch.arange(2 * images, 2 * images + 2, device=order.device).expand(len(order), -1)
        move = torch.cat([move, move + images, last], 1)[:, None].expand(-1, way, -1)
        self.state = self.state.gather(2, move)
        self.speed = None if self.speed is None else self.speed.gather(2, move)
        self.place = order
        rows = self.gram.gather(1, order[:, :, None].expand_as(self.gram))
        self.gram_now = rows.gather(2, order[:, None].expand_as(rows))
        columns = order[:, None].expand(-1, way, -1)
        self.early_now, self.onehot_now = self.early.gather(2, columns), self.onehot.gather(2, columns)

    def step(self, batch: slice) -> None:
        """One step of SGD on the columns of a batch."""
        images, size = self.gram.shape[1], batch.stop - batch.start
        own, said = self.state[..., :images], self.state[..., images : 2 * images]
        told = said[..., batch]
        if self.cosine:
            a, along = self.state[..., -2], self.state[..., -1]
            square = (own * said).sum(2) + a * along  # |v|^2
            scale = SCALE * self.extra * square.rsqrt()
            scores = scale[..., None] * told
        else:
            scale, square = torch.ones_like(self.extra), None
            scores = told + self.extra[..., None]
        error = (scores.softmax(1) - self.onehot_now[..., batch]) / size
        if square is None:
            turn, slope = DECAY, error.sum(2)
        else:  # by g, and by v: g/|v| (dw - <dw, v> v / |v|^2), of which the last term shrinks v
            slope = (error * scores).sum(2) / self.extra
            turn = (DECAY - slope * self.extra / square)[..., None]
            error = error * scale[..., None]
        grad = self.state * turn
        grad[..., batch] += error
        grad[..., images : 2 * images].baddbmm_(error, self.gram_now[:, batch])
        grad[..., -1] += (error * self.early_now[..., batch]).sum(2)
        slope = slope + DECAY * self.extra
        if self.speed is None or self.speed_extra is None:  # torch's first step has no dampening
            self.speed, self.speed_extra = grad, slope
        else:
            self.speed.mul_(MOMENTUM).add_(grad, alpha=1 - DAMPENING)
            self.speed_extra = MOMENTUM * self.speed_extra + (1 - DAMPENING) * slope
        self.state.add_(self.speed, alpha=-RATE)
        self.extra = self.extra - RATE * self.speed_extra
