"""Classifiers on features, for many episodes at once, a file for each idea. ``--head NAME`` finds them, or
``module:Name``.

- ``prototype``, ``knn``: nothing is trained.
- ``sgd``: ``linear`` and ``cosine``, trained as the published evaluation does; ``logistic``: to the minimum;
  ``tuned``: a few steps from the prototypes.
- ``score``: what they are given (:class:`~exuno.fewshot.heads.score.Chunk`), and queries under the weights of a linear
  classifier, which is what all but ``knn`` come to.

A classifier is a function of a :class:`~exuno.fewshot.heads.score.Chunk`::

    @heads.register("centre", label="nearest centre")
    def centre(chunk: Chunk) -> Tensor:
        centres = chunk.support_features().mean(2)  # [E, n, D]
        distances = torch.cdist(chunk.query_features().flatten(1, 2), centres)
        return chunk.num_correct(distances.argmin(2))

With ``@learns(by)`` below that line it also answers for images whose class nobody knows (``exuno fewshot predict``).
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.engine.errors import ExunoError
from exuno.fewshot.episodes import Episodes, Ints
from exuno.fewshot.heads.score import Chunk, Scores, Support, Table
from exuno.fewshot.options import heads


def learn(head: str, support: Support) -> Scores:
    """What a classifier, a name or ``module:Name``, learns from a support.

    Raises:
        ExunoError: one that only counts right answers, or what it raises itself.
    """
    classify = heads.get(head)
    if not hasattr(classify, "learn"):
        raise ExunoError(
            f"--head {head} counts right answers and does not say which they are",
            "Decorate it by exuno.fewshot.heads.score.learns, or give --head prototype.",
        )
    with torch.inference_mode():
        return classify.learn(support)


def accuracies(
    features: Tensor,
    labels: Ints,
    episodes: Iterator[Episodes],
    head: str,
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
        head: name of the classifier, or ``module:Name``.
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
    found, classify = [], heads.get(head)
    with torch.inference_mode():
        table = Table.of(features.contiguous(), labels)
        for chunk in episodes:
            # NumPy's copy: the threads of torch's would go on spinning beside those of the kernel.
            pair = (np.ascontiguousarray(x) for x in (chunk.support, chunk.query))
            support, query = (torch.from_numpy(x).to(features.device) for x in pair)
            right = classify(Chunk(table, support, query, chunk.first, neighbours, seed))
            found.append(right.double().cpu().numpy() / query[0].numel())
            if progress is not None:
                progress(len(support))
    if not found:
        raise ExunoError("there is nothing to measure: no episodes")
    return np.concatenate(found)
