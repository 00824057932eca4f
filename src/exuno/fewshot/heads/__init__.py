"""Classifiers on features, for many episodes at once. One idea a file.

- ``prototype``, ``knn``: nothing is trained. ``fused``: the first once more, for very many episodes.
- ``sgd``: ``linear`` and ``cosine``, trained as the published evaluation does; ``logistic``: to the minimum.
- ``score``: queries under the weights of a linear classifier, which is what all but ``knn`` come to.
"""

from collections.abc import Callable, Iterator
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.engine.errors import ExunoError
from exuno.fewshot.episodes import Episodes, Ints
from exuno.fewshot.heads import knn, logistic, prototype, sgd
from exuno.fewshot.heads.score import Table
from exuno.fewshot.options import HeadName

HEADS: tuple[HeadName, ...] = get_args(HeadName)


def accuracies(
    features: Tensor,
    labels: Ints,
    episodes: Iterator[Episodes],
    head: HeadName,
    *,
    neighbours: int = 1,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.float64]:
    """Accuracy of each episode, a fraction: float64 [E].

    Args:
        features: one row for each image, float32 [N, D], on the device that is to compute.
        labels: class of each image, [N].
        episodes: positions into both, as ``exuno.fewshot.episodes.draw`` gives them.
        head: the classifier.
        neighbours: knn: images that vote.
        seed: linear and cosine: seed of weights and batches, which depend on it and the episode's number alone.
        progress: told after each chunk how many episodes it had.

    Raises:
        ExunoError: features and labels that do not match, features that are not finite, no episodes, or more neighbours
            than support images.
    """
    if features.ndim != 2 or len(features) != len(labels):
        raise ExunoError(f"features have shape {list(features.shape)}, but there are {len(labels)} labels")
    # A sum is finite only if its terms are, and takes a twentieth of the time of looking at each.
    if not (bool(features.sum().isfinite()) or bool(features.isfinite().all())):
        raise ExunoError("features hold NaN or infinity", "Look at the model: its weights may have diverged.")
    found = []
    with torch.inference_mode():
        table = Table.of(features.contiguous(), labels)
        for chunk in episodes:
            # NumPy's copy: the threads of torch's would go on spinning beside those of the kernel.
            pair = (np.ascontiguousarray(x) for x in (chunk.support, chunk.query))
            support, query = (torch.from_numpy(x).to(features.device) for x in pair)
            if head == "prototype":
                right = prototype.classify(table, support, query, chunk.total)
            elif head == "knn":
                right = knn.classify(table, support, query, neighbours)
            elif head == "logistic":
                right = logistic.classify(table, support, query)
            else:
                numbers = torch.arange(chunk.first, chunk.first + len(support))
                right = sgd.classify(table, support, query, numbers, head, seed)
            found.append(right.double().cpu().numpy() / query[0].numel())
            if progress is not None:
                progress(len(support))
    if not found:
        raise ExunoError("there is nothing to measure: no episodes")
    return np.concatenate(found)
