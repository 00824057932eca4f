"""Features of three classes in a plane that shows them best. Pure functions on NumPy arrays.

Müller, Kornblith and Hinton, "When Does Label Smoothing Help?", NeurIPS 2019, section 2: the plane through the weights
(templates) of three classes. Within it lie all differences of the three weights, so it also shows, exactly, which of
the three the network would answer.

The published code of Chandrasegaran et al. (ICML 2022) projects features, with a one appended, onto the span of the
three weights with their biases, which has three dimensions, and shows the first two principal components of the
projected features and centroids. (It takes the biases of the classes 0, 1 and 2, whatever the three are; here each
class has its own.)
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exuno.engine.errors import ExunoError
from exuno.explain.options import Projection

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Plane:
    """Two orthonormal directions, an origin, and a unit of length."""

    axes: Floats
    """[F, 2], or [F + 1, 2] where a one is appended to the features."""
    origin: Floats
    """[F] or [F + 1]."""
    scale: float

    def __call__(self, features: Floats) -> Floats:
        """Features [N, F] -> coordinates [N, 2], in units of ``scale``."""
        return (self._full(features) - self.origin) @ self.axes / self.scale

    def _full(self, features: Floats) -> Floats:
        values = np.asarray(features, np.float64)
        lacking = len(self.origin) - values.shape[1]
        return np.concatenate([values, np.ones((len(values), lacking))], 1) if lacking else values

    def turned(self, centroids: Floats) -> "Plane":
        """The same plane with the first centroid on the left of the second, level with it, and the third above; the
        middle of the three [3, F] is the origin. So pictures of different models can be compared."""
        moved = Plane(self.axes, self._full(centroids).mean(0), self.scale)
        first, second, _ = moved(centroids)
        way = second - first
        angle = np.arctan2(way[1], way[0])
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        moved = Plane(self.axes @ turn, moved.origin, self.scale)
        first, _, third = moved(centroids)
        flip = np.array([1.0, -1.0 if third[1] < first[1] else 1.0])
        return Plane(moved.axes * flip, moved.origin, self.scale)


def plane_of(
    kind: Projection, weight: Floats, bias: Floats, features: Floats, centroids: Floats, scale: float
) -> Plane:
    """The plane of three classes.

    Args:
        kind: ``templates`` or ``pca``; see the module.
        weight: weights of the three classes in the last layer, [3, F].
        bias: their biases, [3].
        features: of the images of the three classes, [N, F].
        centroids: their means, [3, F].
        scale: what becomes 1.

    Raises:
        ExunoError: a single feature, which spans no plane.
    """
    if weight.shape[1] < 2:
        raise ExunoError("a layer of 1 feature has no plane to project onto", "Take a network with a wider last layer.")
    weight = np.asarray(weight, np.float64)
    if kind == "templates":
        axes, _ = np.linalg.qr((weight[1:] - weight[0]).T)
        return Plane(axes, np.zeros(weight.shape[1]), scale).turned(centroids)
    basis, _ = np.linalg.qr(np.concatenate([weight, np.asarray(bias, np.float64)[:, None]], 1).T)
    points = np.concatenate([features, centroids]).astype(np.float64)
    inside = np.concatenate([points, np.ones((len(points), 1))], 1) @ basis
    _, _, directions = np.linalg.svd(inside - inside.mean(0), full_matrices=False)
    return Plane(basis @ directions[:2].T, np.zeros(len(basis)), scale).turned(centroids)


def answers(plane: Plane, weight: Floats, bias: Floats, points: Floats) -> NDArray[np.int64]:
    """Which of the three classes a network prefers, at points [N, 2] of the plane through their weights: int64 [N]."""
    weight, bias = np.asarray(weight, np.float64), np.asarray(bias, np.float64)
    # The points stay in the plane: as features, those of all pixels of a picture would be [N, F] numbers.
    logits = points @ (plane.scale * plane.axes.T @ weight.T) + (plane.origin @ weight.T + bias)
    return logits.argmax(1)
