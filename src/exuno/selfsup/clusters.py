"""Features -> pseudo-labels: PCA whitening, unit length, k-means; and the uniform sampling over clusters of DeepCluster
(Caron, Bojanowski, Joulin and Douze, ECCV 2018)."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data import rng

SMALLEST = 1e-6
"""Variance of a component, as a share of the largest, below which it is left out: whitening would blow up rounding."""
AT_ONCE = 200_000
"""Samples beyond which k-means works on random batches of them (Sculley, WWW 2010)."""


class Whitening(NamedTuple):
    """An affine map to components of variance 1."""

    mean: Tensor
    """[D]"""
    basis: Tensor
    """[D, P]"""

    def __call__(self, features: Tensor) -> Tensor:
        """Features [N, D] -> whitened and of length 1, float32 [N, P]."""
        return torch.nn.functional.normalize((features.float() - self.mean) @ self.basis, dim=1)


def fit_whitening(features: Tensor, components: int) -> Whitening:
    """The PCA whitening of features [N, D] to at most ``components`` dimensions, those of the largest variance."""
    mean = features.mean(0, dtype=torch.float64)
    centred = features.double() - mean
    variances, directions = torch.linalg.eigh(centred.T @ centred / max(1, len(features) - 1))
    variances, directions = variances.flip(0)[:components], directions.flip(1)[:, :components]
    kept = variances > SMALLEST * variances[0].clamp_min(1e-30)
    return Whitening(mean.float(), (directions[:, kept] / variances[kept].sqrt()).float())


def k_means(
    points: NDArray[np.float32], clusters: int, seed: int, epoch: int, iterations: int = 20
) -> NDArray[np.int64]:
    """The cluster of each point, int64 [N], by scikit-learn's k-means: random points as first centres, an empty cluster
    gets the point farthest from its centre. The same answer every time: one thread, a seed of its own.

    Args:
        points: [N, P].
        clusters: K.
        seed: of the run.
        epoch: of the training, at which the centres are drawn.
        iterations: at most.
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    state = int(rng.generator(seed, "k-means", epoch).integers(2**31))
    options = {"n_clusters": clusters, "init": "random", "n_init": 1, "max_iter": iterations, "random_state": state}
    with threadpool_limits(1):  # threads would add up the centres in the order in which they finish
        if len(points) > AT_ONCE:
            found = MiniBatchKMeans(batch_size=16384, **options).fit_predict(points)
        else:
            found = KMeans(**options).fit_predict(points)
    return found.astype(np.int64)


def uniform_over_clusters(labels: NDArray[np.int64], seed: int, epoch: int) -> NDArray[np.int64]:
    """N places among N samples with these pseudo-labels [N], drawn so that every cluster that is not empty comes about
    equally often; within one without replacement where it is large enough."""
    random = rng.generator(seed, "clusters", epoch)
    by_cluster = np.argsort(labels, kind="stable")
    members = np.split(by_cluster, np.flatnonzero(np.diff(labels[by_cluster])) + 1)
    share = len(labels) // len(members) + 1
    chosen = [random.choice(each, share, replace=len(each) < share) for each in members]
    return random.permutation(np.concatenate(chosen))[: len(labels)].astype(np.int64)
