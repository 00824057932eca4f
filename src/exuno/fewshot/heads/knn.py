"""The K support images nearest to a query by cosine similarity vote for their class with that similarity.

Of equal similarities the image that comes first is nearer, of equal votes the first class wins. The published
evaluation of SMKD divides the number of a neighbour by the way instead of the shot to find its class, which is right
only where both are equal; here it is right for every way and shot.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from exuno.engine.errors import ExunoError
from exuno.fewshot.heads.score import Chunk, block
from exuno.fewshot.options import heads


@heads.register("knn", label="nearest neighbours ({})")
def classify(chunk: Chunk) -> Tensor:
    """Queries that are right, int64 [E].

    Raises:
        ExunoError: more neighbours than support images, or fewer than 1.
    """
    table, support, query, neighbours = chunk.table, chunk.support, chunk.query, chunk.neighbours
    _, way, shot = support.shape
    count, wide = query.shape[2], table.features.shape[1]
    if not 1 <= neighbours <= way * shot:
        what = f"--neighbours is {neighbours}, but an episode has {way * shot} support images"
        raise ExunoError(what, f"Give a number from 1 to {way * shot}.")
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
