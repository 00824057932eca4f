"""How well the neighbours of a sample tell its class: a test of features that learns nothing."""

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

TEMPERATURE = 0.07
ROWS = 1024


def neighbour_votes(
    known: Tensor, labels: Tensor, asked: Tensor, neighbours: int = 20, temperature: float = TEMPERATURE
) -> Tensor:
    """Votes of the nearest samples by cosine, each weighted by exp(cosine / temperature) (Wu, Xiong, Yu and Lin, CVPR
    2018, section 3.4).

    Args:
        known: features [N, D].
        labels: of these, int64 [N].
        asked: features [M, D].
        neighbours: k, at most N.
        temperature: see above.

    Returns:
        float32 [M, C].
    """
    memory, classes = normalize(known.float(), dim=1), int(labels.max()) + 1
    votes = one_hot(labels, classes).float()
    found = []
    for rows in asked.split(ROWS):
        near, which = (normalize(rows.float(), dim=1) @ memory.T).topk(min(neighbours, len(memory)), 1)
        found.append((votes[which] * ((near - 1) / temperature).exp()[..., None]).sum(1))
    return torch.cat(found)
