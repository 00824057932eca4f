"""Distances, spread and the diffusion index, on features whose geometry is known."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exuno.explain import geometry
from exuno.explain.geometry import clusters, eta, eta_of_classes, pairwise, relative, resampled, spread, within

SEEDS = st.integers(0, 2**32 - 1)


def blobs(means: Any, sd: float = 1.0, count: int = 20, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian clusters around means [C, F]: features [C n, F] and labels."""
    means = np.asarray(means, float)
    labels = np.repeat(np.arange(len(means)), count)
    return means[labels] + sd * np.random.default_rng(seed).normal(size=(len(labels), means.shape[1])), labels


def points(means: Any) -> tuple[np.ndarray, np.ndarray]:
    """Clusters without any extent."""
    return blobs(means, sd=0, count=2)


def similar(classes: int, *pairs: tuple[int, int]) -> np.ndarray:
    mask = np.zeros((classes, classes), bool)
    for i, j in pairs:
        mask[i, j] = mask[j, i] = True
    return mask


TRIANGLE = [[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]]


def test_distances_of_a_triangle() -> None:
    found, scale = relative(clusters(*points(TRIANGLE), 3))
    assert scale == pytest.approx(4)
    np.testing.assert_allclose(found, np.array([[0, 3, 4], [3, 0, 5], [4, 5, 0]]) / 4, atol=1e-12)


def test_within_is_the_distance_from_the_centroid() -> None:
    features = np.array([[-1.0, 0], [1, 0], [9, 0], [11, 0], [0, 9], [0, 11]])
    found = clusters(features, np.repeat(np.arange(3), 2), 3)
    np.testing.assert_allclose(found.variance, 2)
    assert within(found, 5.0) == pytest.approx(np.sqrt(2) / 5)


def test_spread_is_measured_along_the_way() -> None:
    # Class 0 extends along x, where class 1 lies at 10; class 2 lies at 5 on y.
    features = np.array([[-1.0, 0], [1, 0], [10, 0], [10, 0], [0, 5], [0, 5]])
    labels = np.repeat(np.arange(3), 2)
    found = spread(features, labels, clusters(features, labels, 3))
    assert found[0, 1] == pytest.approx(np.sqrt(2) / 10)
    assert found[0, 2] == pytest.approx(0)
    assert found[1].max() == found[2].max() == 0


@given(SEEDS, st.floats(0.01, 100), st.floats(-50, 50))
def test_nothing_depends_on_scale_origin_or_rotation(seed: int, scale: float, shift: float) -> None:
    random = np.random.default_rng(seed)
    features, labels = blobs(random.normal(size=(4, 5)) * 3, count=6, seed=seed)
    other, _ = blobs(random.normal(size=(4, 5)) * 3, count=6, seed=seed + 1)
    turn, _ = np.linalg.qr(random.normal(size=(5, 5)))
    mask = similar(4, (0, 1), (2, 3))
    before, after = [], []
    for kept, values in ((before, features), (after, scale * (features @ turn) + shift)):
        found = clusters(values, labels, 4)
        distances, length = relative(found)
        first, _ = relative(clusters(other, labels, 4))
        kept += [distances, within(found, length), spread(values, labels, found), eta(distances, first, mask)]
    for one, two in zip(before, after, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-6)


@given(SEEDS)
def test_relative_distances_have_the_mean_one(seed: int) -> None:
    features, labels = blobs(np.random.default_rng(seed).normal(size=(5, 8)) * 4, count=5, seed=seed)
    found, _ = relative(clusters(features, labels, 5))
    assert found[~np.eye(5, dtype=bool)].mean() == pytest.approx(1)


def test_the_part_of_few_images_is_taken_out_of_a_distance() -> None:
    """Means of 4 images in 100 dimensions are further apart than those of the classes: by 2 x 100 / 4, squared."""
    means = np.zeros((2, 100))
    means[1, 0] = 6
    corrected, plain = [], []
    for seed in range(200):
        found = clusters(*blobs(means, count=4, seed=seed), 2)
        corrected.append(pairwise(found.means, found.variance / found.counts)[0, 1] ** 2)
        plain.append(((found.means[0] - found.means[1]) ** 2).sum())
    assert np.mean(plain) == pytest.approx(36 + 50, abs=3)
    assert np.mean(corrected) == pytest.approx(36, abs=3)


def test_classes_in_one_place_are_at_distance_zero() -> None:
    found = clusters(*blobs(np.zeros((3, 4)), count=3), 3)
    distances = pairwise(found.means, found.variance / found.counts + 10)
    assert (distances == 0).all()
    assert np.isnan(eta(distances, distances, similar(3, (0, 1))))


MOVED = [[0.0, 0], [1, 0], [0, 5], [1, 5]]
PAIRS = similar(4, (0, 1), (2, 3))


def test_the_reference_has_the_index_zero() -> None:
    distances, _ = relative(clusters(*blobs(MOVED), 4))
    assert eta(distances, distances, PAIRS) == 0
    assert (eta_of_classes(distances, distances, PAIRS) == 0).all()


def test_the_index_is_positive_where_classes_move_to_their_neighbours() -> None:
    before, _ = relative(clusters(*points(MOVED), 4))
    nearer = np.array(MOVED)
    nearer[0] = [0.5, 0]
    after, _ = relative(clusters(*points(nearer), 4))
    assert eta(after, before, PAIRS) > 0.2
    assert eta(before, after, PAIRS) < -0.2
    assert (1 - eta(after, before, PAIRS)) * (1 - eta(before, after, PAIRS)) == pytest.approx(1)
    each = eta_of_classes(after, before, PAIRS)
    assert each[0] == each[1] > 0.4
    assert abs(each[2]) < 0.05


def test_the_index_is_the_share_of_the_distance_that_was_lost() -> None:
    before = np.array([[0, 1.0, 2], [1, 0, 2], [2, 2, 0]])
    after = np.array([[0, 0.6, 2], [0.6, 0, 2], [2, 2, 0]])
    assert eta(after, before, similar(3, (0, 1))) == pytest.approx(0.4)
    found = eta_of_classes(after, before, similar(3, (0, 1)))
    assert found[:2] == pytest.approx(0.4)
    assert np.isnan(found[2])


def draws_of(features: list[np.ndarray], labels: np.ndarray, classes: int, mask: np.ndarray, **options: Any) -> Any:
    found: list[list[np.ndarray]] = [[] for _ in features]
    for model, values in resampled(features, labels, classes, mask, options.pop("draws", 40), **options):
        found[model].append(values)
    return [np.concatenate(each) for each in found]


def test_all_models_see_the_same_resamples() -> None:
    features, labels = blobs(np.random.default_rng(1).normal(size=(4, 6)) * 3)
    one, scaled = draws_of([features, 7 * features + 1], labels, 4, PAIRS)
    np.testing.assert_allclose(one, scaled, rtol=1e-9)
    assert one.std() > 0
    assert len(one) == 40
    (other,) = draws_of([features], labels, 4, PAIRS, seed=1)
    assert np.abs(other - one).max() > 1e-6


def test_resamples_do_not_depend_on_their_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = blobs(np.random.default_rng(1).normal(size=(4, 6)) * 3)
    (whole,) = draws_of([features], labels, 4, PAIRS)
    monkeypatch.setattr(geometry, "_ROOM", 24 * 7)
    (parts,) = draws_of([features], labels, 4, PAIRS)
    np.testing.assert_allclose(whole, parts, rtol=1e-9)


def test_a_resample_is_measured_like_the_images_it_holds() -> None:
    features, labels = blobs(np.random.default_rng(2).normal(size=(3, 4)) * 3, count=5)
    mask = similar(3, (0, 1))
    (found,) = draws_of([features], labels, 3, mask, draws=20)
    chosen = []
    for label in range(3):
        share = geometry._shares(0, label, np.arange(20), 5)
        assert share.sum(1) == pytest.approx(1)
        times = (share[3] * 5).round().astype(int)
        chosen.append(np.repeat(np.flatnonzero(labels == label), times))
    again = np.concatenate(chosen)
    distances, _ = relative(clusters(features[again], labels[again], 3))
    assert found[3] == pytest.approx(geometry.mean_of(distances, mask))


def test_the_bootstrap_knows_how_far_other_images_would_lead() -> None:
    means = np.random.default_rng(3).normal(size=(4, 6)) * 2
    values = []
    for seed in range(200):
        distances, _ = relative(clusters(*blobs(means, count=15, seed=seed), 4))
        values.append(geometry.mean_of(distances, PAIRS))
    (draws,) = draws_of([blobs(means, count=15)[0]], blobs(means, count=15)[1], 4, PAIRS, draws=400)
    assert draws.std() == pytest.approx(np.std(values), rel=0.35)
    low, high = geometry.interval(0.5, draws)
    assert high - low == pytest.approx(2 * 1.96 * draws.std(ddof=1), rel=1e-3)
    assert (low + high) / 2 == pytest.approx(0.5)
