"""Clusters of features: numbers about them, and the plane that shows three of them best. NumPy only.

N images, F features, C classes. Every class has at least two images.

Distances are relative: 1 is the mean distance of two class centroids of the same model, so that models of any width
and scale can be compared. From a squared distance that part is taken which is only owed to the finite number of
images: E|m_i - m_j|² = |mu_i - mu_j|² + tr(Sigma_i) / n_i + tr(Sigma_j) / n_j for the means m of n images.

Müller, Kornblith and Hinton, "When Does Label Smoothing Help?", NeurIPS 2019, section 2: the plane through the weights
(templates) of three classes. Within it lie all differences of the three weights, so it also shows, exactly, which of
the three the network would answer.

The published code of Chandrasegaran et al. (ICML 2022) projects features, with a one appended, onto the span of the
three weights with their biases, which has three dimensions, and shows the first two principal components of the
projected features and centroids. (It takes the biases of the classes 0, 1 and 2, whatever the three are; here each
class has its own.)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exuno.data import rng
from exuno.engine.errors import ExunoError
from exuno.explain.options import Projection

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
_ROOM = 2**25  # numbers of resampled centroids or distances that are in memory at once


@dataclass(frozen=True)
class Clusters:
    """Centroids and scatter of the classes."""

    means: Floats
    """[C, F]"""
    variance: Floats
    """Unbiased variance of a class, summed over the features: the trace of its covariance, [C]."""
    counts: Ints
    """Images, [C]."""


def clusters(features: Floats, labels: Ints, classes: int) -> Clusters:
    """Centroids and scatter of features [N, F] with labels [N] in 0..C-1."""
    parts = [np.asarray(features[labels == label], np.float64) for label in range(classes)]
    means = np.stack([part.mean(0) for part in parts])
    variance = np.array([part.var(0, ddof=1).sum() for part in parts])
    return Clusters(means, variance, np.array([len(part) for part in parts], np.int64))


def pairwise(means: Floats, noise: Floats) -> Floats:
    """Distances of centroids [..., C, F], each with an expected squared error ``noise`` [..., C]: [..., C, C]."""
    centred = means - means.mean(-2, keepdims=True)
    square = (centred**2).sum(-1)
    found = square[..., :, None] + square[..., None, :] - 2 * centred @ np.swapaxes(centred, -1, -2)
    found = found - noise[..., :, None] - noise[..., None, :]
    distance = np.sqrt(np.maximum(found, 0))
    return distance * ~np.eye(means.shape[-2], dtype=bool)


def unit(distances: Floats) -> Floats:
    """The mean distance of two classes, of distances [..., C, C]: [...]."""
    classes = distances.shape[-1]
    return distances.sum((-1, -2)) / (classes * (classes - 1))


def relative(found: Clusters) -> tuple[Floats, float]:
    """Relative distances D [C, C] of mean 1, and the length that they are measured in."""
    distances = pairwise(found.means, found.variance / found.counts)
    scale = float(unit(distances))
    return distances / scale if scale > 0 else distances, scale


def within(found: Clusters, scale: float) -> float:
    """Root-mean-square distance of an image from the centroid of its class, relative to ``scale``; classes count
    alike."""
    return float(np.sqrt(found.variance.mean())) / scale


def spread(features: Floats, labels: Ints, found: Clusters) -> Floats:
    """How far a class spreads along the way to another: sigma_ij [C, C], the standard deviation of
    (x - m_i)·(m_j - m_i) / |m_j - m_i|² over the images x of class i; 1 is the whole way. Zero on the diagonal."""
    classes = len(found.means)
    result = np.zeros((classes, classes))
    for label in range(classes):
        way = found.means - found.means[label]
        length = np.maximum((way**2).sum(1), 1e-300)
        inside = np.asarray(features[labels == label], np.float64) - found.means[label]
        result[label] = np.sqrt((inside @ way.T / length).var(0, ddof=1))
    return result


def mean_of(values: Floats, mask: Mask) -> Floats:
    """Mean of values [..., C, C] over the pairs of a mask [C, C]: [...]."""
    return values[..., mask].mean(-1)


def eta(distances: Floats, reference: Floats, similar: Mask) -> Floats:
    """exuno's diffusion index: 1 - mean of D_ij / mean of Dref_ij over the pairs (i, j) of similar classes.

    The share by which similar classes have come nearer to each other than they are in the reference; 0 for the
    reference itself, negative where they moved apart.

    Args:
        distances: D of the model, [..., C, C].
        reference: D of the reference, [..., C, C].
        similar: whether j is one of the classes S(i) that are similar to i, [C, C].

    Returns:
        [...]; NaN where the similar classes of the reference are in one place.
    """
    return _share_lost(mean_of(distances, similar), mean_of(reference, similar))


def eta_of_classes(distances: Floats, reference: Floats, similar: Mask) -> Floats:
    """The index of each class, [C]: over its own similar classes alone; NaN for a class that has none."""
    return _share_lost((distances * similar).sum(1), (reference * similar).sum(1))


def _share_lost(now: Any, before: Any) -> Any:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.asarray(before) > 0, 1 - np.asarray(now) / before, np.nan)


def resampled(
    features: Sequence[Floats], labels: Ints, classes: int, similar: Mask, draws: int, seed: int = 0
) -> Iterator[tuple[int, Floats]]:
    """Bootstrap over images: the mean relative distance of similar classes in resamples of the images.

    Each class keeps its number of images. All models see the same resamples, so their differences are paired.

    Args:
        features: of each model, [N, F].
        labels: [N] in 0..C-1.
        classes: C.
        similar: the pairs to average over, [C, C].
        draws: number of resamples, B.
        seed: of the draws.

    Yields:
        (number of the model, values of the next resamples): for each model B values, in order.
    """
    rows = [np.flatnonzero(labels == label) for label in range(classes)]
    for model, values in enumerate(features):
        whole = clusters(values, labels, classes)
        some = max(1, _ROOM // max(whole.means.size, classes**2))
        for first in range(0, draws, some):
            numbers = np.arange(first, min(first + some, draws))
            means = np.empty((len(numbers), *whole.means.shape))
            noise = np.empty((len(numbers), classes))
            for label, mine in enumerate(rows):
                inside = np.asarray(values[mine], np.float64) - whole.means[label]
                share = _shares(seed, label, numbers, len(mine))
                shift = share @ inside
                left = share @ (inside**2).sum(1) - (shift**2).sum(1)
                means[:, label], noise[:, label] = whole.means[label] + shift, left / (len(mine) - 1)
            distances = pairwise(means, noise)
            scale = np.maximum(unit(distances), 1e-300)
            yield model, mean_of(distances, similar) / scale


def _shares(seed: int, label: int, numbers: Ints, count: int) -> Floats:
    """How often each of n images of a class is drawn, as shares [B, n]."""
    chosen = (rng.uniforms(seed, f"explain resample {label}", numbers, count) * count).astype(np.int64)
    times = np.zeros((len(numbers), count))
    np.add.at(times, (np.arange(len(numbers))[:, None], chosen), 1)
    return times / count


def interval(value: float, draws: Floats) -> tuple[float, float]:
    """95 % interval of a value whose bootstrap gave ``draws``: ± 1.96 standard deviations. (Resampled centroids
    scatter around the measured ones, so percentiles would lie too high.)"""
    half = 1.959964 * float(np.std(draws, ddof=1))
    return value - half, value + half


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
