"""The K support images nearest to a query by cosine similarity vote for their class with that similarity.

Of equal similarities the image that comes first is nearer, of equal votes the first class wins. The published
evaluation of SMKD divides the number of a neighbour by the way instead of the shot to find its class, which is right
only where both are equal; here it is right for every way and shot.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from exuno.engine.errors import ExunoError
from exuno.fewshot.heads.score import Chunk, Scores, Support, block, learns
from exuno.fewshot.options import heads


def learn(support: Support) -> Scores:
    """Scores are the votes of a class over the number of all; -1, the least that there is, without any.

    Raises:
        ExunoError: more neighbours than support images, or fewer than 1.
    """
    check(support.neighbours, len(support.labels), "there are")
    sources = F.normalize(support.features)

    def score(queries: Tensor) -> Tensor:
        ranked, nearest = (F.normalize(queries) @ sources.T).sort(dim=1, descending=True, stable=True)
        votes, voting = ranked[:, : support.neighbours], support.labels[nearest[:, : support.neighbours]]
        ballot = votes.new_zeros(len(queries), support.way)
        voted = torch.zeros_like(ballot).scatter_add_(1, voting, torch.ones_like(votes)) > 0
        return (ballot.scatter_add_(1, voting, votes) / support.neighbours).masked_fill_(~voted, -1)

    return score


def check(neighbours: int, images: int, where: str) -> None:
    """Raises ExunoError unless so many of the support images can vote."""
    if not 1 <= neighbours <= images:
        what = f"--neighbours is {neighbours}, but {where} {images} support images"
        raise ExunoError(what, f"Give a number from 1 to {images}.")


@heads.register("knn", label="nearest neighbours ({})")
@learns(learn)
def classify(chunk: Chunk) -> Tensor:
    """Queries that are right, int64 [E].

    Raises:
        ExunoError: more neighbours than support images, or fewer than 1.
    """
    table, support, query, neighbours = chunk.table, chunk.support, chunk.query, chunk.neighbours
    _, way, shot = support.shape
    count, wide = query.shape[2], table.features.shape[1]
    check(neighbours, way * shot, "an episode has")
    own = torch.arange(way, device=query.device).repeat_interleave(count)
    right = []
    some = block(query.device, way * (shot + count) * wide)
    for near, far in zip(support.split(some), query.split(some), strict=True):
        sources = F.normalize(table.features[near.flatten(1)], dim=2)
        queries = F.normalize(table.features[far.flatten(1)], dim=2)
        ranked, nearest = torch.bmm(queries, sources.transpose(1, 2)).sort(dim=2, descending=True, stable=True)
        votes, nearest = ranked[..., :neighbours], nearest[..., :neighbours]
        ballot = votes.new_zeros(len(far), way * count, way)
        # A class without a vote must not win against one whose votes are negative.
        voted = torch.zeros_like(ballot).scatter_add_(2, nearest // shot, torch.ones_like(votes)) > 0
        ballot = ballot.scatter_add_(2, nearest // shot, votes).masked_fill_(~voted, -torch.inf)
        right.append((ballot.argmax(2) == own).sum(1))
    return torch.cat(right)
