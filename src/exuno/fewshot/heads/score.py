"""How many queries linear classifiers get right: n weight vectors for each episode, and its queries.

Two ways to the same scores. ``gathered`` copies the rows of the queries into a small buffer and multiplies it.
``whole`` multiplies all images of a class with the weights of all episodes that have it, which is one large product and
no copy, but computes more scores than are asked for. It pays where many images of a class are queries.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from exuno.fewshot.episodes import Ints, members

_DENSE = 0.2  # share of a class that must be queries before all of it is multiplied (measured)
_LARGE = 10_000  # images of a class, times the episodes of a chunk that have it: below, products are too small to pay
_SCORES = 2**20  # of ``whole`` at a time


@dataclass(frozen=True)
class Table:
    """Features of all images, and which class has which."""

    features: Tensor
    """[N, D]."""
    order: Tensor
    """Positions of all images, class by class, [N]."""
    place: Tensor
    """Of each image within its class, [N]."""
    kind: Tensor
    """Class of each image, counted from 0, [N]."""
    start: list[int]
    """Where each class begins in ``order``, and N."""

    @staticmethod
    def of(features: Tensor, labels: Ints) -> "Table":
        """From features [N, D] and labels [N]."""
        m, device = members(labels), features.device
        order, size = torch.from_numpy(m.order), torch.from_numpy(m.size)
        kind, place = torch.empty_like(order), torch.empty_like(order)
        kind[order] = torch.arange(len(size)).repeat_interleave(size)
        place[order] = torch.arange(len(order)) - torch.from_numpy(m.start).repeat_interleave(size)
        return Table(features, order.to(device), place.to(device), kind.to(device), [*m.start.tolist(), len(order)])

    def rows(self, kind: int) -> Tensor:
        """Features of all images of a class, [images, D]; no copy where they lie together."""
        where = self.order[self.start[kind] : self.start[kind + 1]]
        first = int(where[0])
        if int(where[-1]) - first == len(where) - 1:  # order is ascending within a class
            return self.features[first : first + len(where)]
        return self.features[where]


@dataclass(frozen=True)
class Chunk:
    """E episodes that a classifier answers at once."""

    table: Table
    support: Tensor
    """Positions of the support images, int64 [E, n, k]."""
    query: Tensor
    """Positions of the queries, int64 [E, n, q]."""
    first: int
    """Number of the first episode."""
    neighbours: int = 1
    """Of ``knn``."""
    seed: int = 0
    """Of what a classifier draws; an episode's draws belong to it and the episode's number."""

    @property
    def numbers(self) -> Tensor:
        """Number of each episode, int64 [E], on the processor."""
        return torch.arange(self.first, self.first + len(self.support))

    def support_features(self) -> Tensor:
        """[E, n, k, D]."""
        return self.table.features[self.support]

    def query_features(self) -> Tensor:
        """[E, n, q, D]."""
        return self.table.features[self.query]

    def num_correct(self, predicted: Tensor) -> Tensor:
        """How many answers are right, int64 [E]; ``predicted``: place of a class in its episode, [E, n, q] or
        [E, n q]."""
        own = torch.arange(self.query.shape[1], device=predicted.device).repeat_interleave(self.query.shape[2])
        return (predicted.flatten(1) == own).sum(1)


@dataclass(frozen=True)
class Support:
    """Images of known classes, from which others are recognised; classes may have different numbers of them."""

    features: Tensor
    """[S, D]."""
    labels: Tensor
    """Class of each, int64 [S], from 0; every class has one at least."""
    way: int
    """Classes, n."""
    neighbours: int = 1
    """Of ``knn``."""
    seed: int = 0
    """Of what a classifier draws."""


Scores = Callable[[Tensor], Tensor]
"""Features [Q, D] -> what speaks for each class, [Q, n], the more the larger; it holds no state."""


def learns(by: Callable[[Support], Scores]) -> Callable[[Any], Any]:
    """A decorator of a classifier: how it learns from one support to score images whose class nobody knows."""

    def mark(classify: Any) -> Any:
        classify.learn = by
        return classify

    return mark


def num_correct(table: Table, weights: Tensor, bias: Tensor | None, query: Tensor) -> Tensor:
    """Queries whose largest score is that of their own class; the first counts where several are equal.

    Args:
        table: the features.
        weights: of each class of each episode, [E, n, D].
        bias: [E, n] or None.
        query: positions, int64 [E, n, q].

    Returns:
        int64 [E].
    """
    return (whole if dense(table, query) else gathered)(table, weights, bias, query)


def dense(table: Table, query: Tensor) -> bool:
    """Whether so much of each class is asked for that all of it is multiplied; query [E, n, q]."""
    classes = len(table.start) - 1
    mean = len(table.order) / classes
    return query.shape[2] >= _DENSE * mean and mean * query.shape[0] * query.shape[1] >= _LARGE * classes


def block(device: torch.device, floats: int) -> int:
    """How many episodes to gather at once, if each needs so many numbers: what the cache of a processor holds."""
    return max(1, (2**26 if device.type == "cuda" else 2**19) // floats)


def gathered(table: Table, weights: Tensor, bias: Tensor | None, query: Tensor) -> Tensor:
    """``right``, by rows of queries."""
    episodes, way, count = query.shape
    wide, device = weights.shape[2], weights.device
    some = block(device, way * count * wide)
    scores = weights.new_empty(episodes, way * count, way)
    buffer = weights.new_empty(min(some, episodes) * way * count, wide)
    flat = query.reshape(episodes, -1)
    for first in range(0, episodes, some):
        where = flat[first : first + some].reshape(-1)
        rows = torch.index_select(table.features, 0, where, out=buffer[: len(where)]).view(-1, way * count, wide)
        torch.bmm(rows, weights[first : first + some].transpose(1, 2), out=scores[first : first + some])
    if bias is not None:
        scores += bias[:, None]
    own = torch.arange(way, device=device).repeat_interleave(count)
    return (scores.argmax(2) == own).sum(1)


def whole(table: Table, weights: Tensor, bias: Tensor | None, query: Tensor) -> Tensor:
    """``right``, by whole classes."""
    episodes, way, _ = query.shape
    kinds, place = table.kind[query[:, :, 0]], table.place[query]
    found = torch.zeros(episodes, way, dtype=torch.int64, device=weights.device)
    for kind in kinds.unique().tolist():
        features = table.rows(kind)
        for part in (kinds == kind).nonzero().split(max(1, _SCORES // (way * len(features)))):
            episode, label = part.unbind(1)
            scores = weights.index_select(0, episode).flatten(0, 1) @ features.T
            scores = scores.view(len(part), way, len(features))
            if bias is not None:
                scores += bias[episode][:, :, None]
            hit = largest(scores) == label[:, None]
            found[episode, label] = hit.gather(1, place[episode, label]).sum(1)
    return found.sum(1)


def largest(scores: Tensor) -> Tensor:
    """The first of the largest scores, int16 [E, M], of scores [E, n, M]: ``argmax(1)``, which reads them across."""
    best, at = scores[:, 0], torch.zeros_like(scores[:, 0], dtype=torch.int16)
    for label in range(1, scores.shape[1]):
        at = torch.maximum(at, (scores[:, label] > best).to(at.dtype).mul_(label))
        best = torch.maximum(best, scores[:, label])
    return at
