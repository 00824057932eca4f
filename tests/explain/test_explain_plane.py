"""The plane of three classes: where it lies, what it keeps, and what it says of the answers."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exuno.engine.errors import ExunoError
from exuno.explain.geometry import answers, plane_of
from exuno.explain.options import Projection

SEEDS = st.integers(0, 2**32 - 1)
KINDS = st.sampled_from(["templates", "pca"])


def case(seed: int, width: int = 7) -> tuple[np.ndarray, ...]:
    """Weights [3, F], biases [3], features [N, F] of three classes and their centroids [3, F]."""
    random = np.random.default_rng(seed)
    weight, bias = random.normal(size=(3, width)), random.normal(size=3)
    labels = np.repeat(np.arange(3), 10)
    features = 2 * weight[labels] + random.normal(size=(30, width))
    return weight, bias, features, np.stack([features[labels == label].mean(0) for label in range(3)])


@given(SEEDS, KINDS)
def test_turning_features_and_weights_together_changes_nothing(seed: int, kind: Projection) -> None:
    weight, bias, features, centroids = case(seed)
    turn, _ = np.linalg.qr(np.random.default_rng(seed + 1).normal(size=(7, 7)))
    before = plane_of(kind, weight, bias, features, centroids, 1.0)(features)
    turned = (weight @ turn, bias, features @ turn, centroids @ turn)
    after = plane_of(kind, *turned, 1.0)(features @ turn)
    np.testing.assert_allclose(before, after, atol=1e-6)


@given(SEEDS, KINDS)
def test_the_first_centroid_is_left_of_the_second_and_the_third_above(seed: int, kind: Projection) -> None:
    weight, bias, features, centroids = case(seed)
    plane = plane_of(kind, weight, bias, features, centroids, 2.0)
    first, second, third = plane(centroids)
    assert first[1] == pytest.approx(second[1], abs=1e-9)
    assert first[0] < second[0]
    assert third[1] >= first[1]
    np.testing.assert_allclose(plane(centroids).mean(0), 0, atol=1e-9)


@given(SEEDS)
def test_distances_within_the_plane_of_the_templates_are_kept(seed: int) -> None:
    weight, bias, features, centroids = case(seed)
    plane = plane_of("templates", weight, bias, features, centroids, 3.0)
    found = plane(weight)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert np.linalg.norm(found[i] - found[j]) == pytest.approx(np.linalg.norm(weight[i] - weight[j]) / 3)


@given(SEEDS)
def test_the_plane_of_the_templates_knows_the_answers(seed: int) -> None:
    weight, bias, features, centroids = case(seed)
    plane = plane_of("templates", weight, bias, features, centroids, 1.7)
    wanted = (features @ weight.T + bias).argmax(1)
    assert (answers(plane, weight, bias, plane(features)) == wanted).all()


@given(SEEDS)
def test_answers_are_those_of_the_points_as_features(seed: int) -> None:
    weight, bias, features, centroids = case(seed)
    plane = plane_of("templates", weight, bias, features, centroids, 0.6)
    points = np.random.default_rng(seed).normal(size=(200, 2)) * 3
    lifted = points[:, :1] * plane.axes[:, 0] * 0.6 + points[:, 1:] * plane.axes[:, 1] * 0.6 + plane.origin
    logits = lifted @ weight.T + bias
    apart = np.ptp(np.sort(logits, 1)[:, 1:], 1) > 1e-9  # where two answers are equal, rounding decides
    assert (answers(plane, weight, bias, points) == logits.argmax(1))[apart].all()


def test_answers_need_no_room_for_features() -> None:
    weight, bias, features, centroids = case(0, width=4096)
    plane = plane_of("templates", weight, bias, features, centroids, 1.0)
    points = np.random.default_rng(0).normal(size=(20_000, 2))
    tracemalloc.start()
    try:
        answers(plane, weight, bias, points)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 20 * 20_000 * 8  # bytes; as features the points take 4096 numbers each


def test_principal_components_within_the_span_of_weights_and_biases() -> None:
    weight, bias, features, centroids = case(5)
    plane = plane_of("pca", weight, bias, features, centroids, 1.0)
    assert plane.axes.shape == (8, 2)
    np.testing.assert_allclose(plane.axes.T @ plane.axes, np.eye(2), atol=1e-9)
    rows = np.concatenate([weight, bias[:, None]], 1)
    inside = np.linalg.lstsq(rows.T, plane.axes, rcond=None)[0]
    np.testing.assert_allclose(rows.T @ inside, plane.axes, atol=1e-9)
    basis, _ = np.linalg.qr(rows.T)
    points = np.concatenate([np.concatenate([features, centroids]), np.ones((33, 1))], 1) @ basis
    variance = np.linalg.eigvalsh(np.cov(points.T))[::-1]
    shown = plane(np.concatenate([features, centroids]))
    assert np.cov(shown.T).trace() == pytest.approx(variance[:2].sum())


def test_a_single_feature_has_no_plane() -> None:
    weight, bias, features, centroids = case(0, width=1)
    with pytest.raises(ExunoError, match="1 feature has no plane"):
        plane_of("templates", weight, bias, features, centroids, 1.0)
