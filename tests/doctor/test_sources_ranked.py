"""What makes a photograph a good source: goldens by hand, properties by hypothesis."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exuno.doctor.sources import (
    Candidate,
    assess,
    balance,
    diversity,
    doubt,
    entropy,
    ranking,
    ranks,
    resampled,
    scores,
)
from exuno.engine.errors import ExunoError


def test_balance_by_hand() -> None:
    assert balance([0, 1, 2, 3], 4) == pytest.approx(1)
    assert str(balance([2, 2, 2], 4)) == "0.0"  # not -0.0
    assert balance([0, 0, 1, 1], 4) == pytest.approx(0.5)  # log 2 / log 4
    # Shares 1/2, 1/4, 1/4: 1.5 log 2, of 2 log 2.
    assert balance([0, 0, 1, 2], 4) == pytest.approx(0.75)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=50), st.permutations(range(6)))
def test_balance_ignores_names_and_order(found: list[int], names: list[int]) -> None:
    value = balance(found, 6)
    assert 0 <= value <= 1
    assert balance([names[i] for i in reversed(found)], 6) == pytest.approx(value)
    assert balance(found * 3, 6) == pytest.approx(value)


def test_diversity_by_hand() -> None:
    # Three points on a line, 3 and 3 apart. A constant added to all logits of a patch changes nothing.
    z = np.array([[0.0, 0], [3, -3], [-3, 3]]) / 2**0.5
    assert diversity(z) == pytest.approx((3 + 3 + 6) / 3)
    assert diversity(z + np.array([[1], [7], [-2]])) == pytest.approx(4)
    assert diversity(np.ones((9, 4))) == 0
    with pytest.raises(ExunoError, match="1 patches"):
        diversity(np.ones((1, 4)))


@given(st.integers(0, 1000), st.floats(0.1, 10))
def test_diversity_scales_with_the_logits(seed: int, factor: float) -> None:
    z = np.random.default_rng(seed).normal(0, 1, (40, 6))
    assert diversity(z * factor) == pytest.approx(diversity(z) * factor)


def test_diversity_of_many_is_that_of_all_pairs() -> None:
    z = np.random.default_rng(0).normal(0, 1, (600, 3))
    centred = z - z.mean(1, keepdims=True)
    every = np.linalg.norm(centred[:, None] - centred[None], axis=2)
    assert diversity(z) == pytest.approx(every.sum() / (600 * 599), rel=0.02)


@pytest.mark.parametrize("n", [2000, 20_000])
def test_diversity_does_not_mind_that_a_test_set_is_sorted_by_class(n: int) -> None:
    random = np.random.default_rng(0)
    labels = np.arange(n) * 10 // n
    z = 8 * np.eye(10)[labels] + random.normal(0, 1, (n, 10))
    assert diversity(z) == pytest.approx(diversity(z[random.permutation(n)]), rel=0.02)


def test_doubt_by_hand() -> None:
    assert doubt([[0.0, 0.9, -5], [0, 1.1, -5], [3, 3, 3], [9, 0, 8.5]]) == 0.75


def test_entropy_by_hand() -> None:
    z = np.log([[1.0, 1, 1, 1], [4, 4, 1e-30, 1e-30]])
    np.testing.assert_allclose(entropy(z, 1), [1, 0.5], atol=1e-9)
    assert entropy([[0.0, 200]], 1)[0] == pytest.approx(0)


@given(st.integers(0, 1000), st.floats(1, 20))
def test_entropy_rises_with_temperature(seed: int, temperature: float) -> None:
    z = np.random.default_rng(seed).normal(0, 4, (20, 7))
    low, high = entropy(z, temperature), entropy(z, temperature * 1.5)
    assert (low <= high + 1e-12).all()
    assert high.max() <= 1 + 1e-12


def test_ranks_share_places() -> None:
    assert ranks([5, 1, 5, 3]) == [2.5, 0, 2.5, 1]
    assert ranks([7]) == [0]


def candidate(name: str, *numbers: float) -> Candidate:
    return Candidate(name, *numbers, entropy=0.5)


def test_scores_by_hand() -> None:
    found = [candidate("a", 0.9, 1, 0.1), candidate("b", 0.5, 0.7, 0.3), candidate("c", 0.1, 2, 0.2)]
    # Places a: 2 1, b: 1 0, c: 0 2; mean over two, of at most 2.
    assert scores(found) == pytest.approx([3 / 4, 1 / 4, 2 / 4])
    assert scores(found[:1]) == [0]


def test_judge() -> None:
    z = np.random.default_rng(0).normal(0, 3, (200, 5))
    found = assess("x", z, unit=2.0)
    assert found.spec == "x"
    assert found.diversity == pytest.approx(diversity(z) / 2)
    assert found.balance == balance(z.argmax(1), 5)
    assert found.doubt == doubt(z)
    assert found.entropy == pytest.approx(entropy(z, 1).mean())
    assert assess("x", z, unit=0.0).diversity == 0


def patches(seed: int, spread: float, classes: int = 10, n: int = 600, used: int = 10) -> np.ndarray:
    """Logits of patches whose classes are the first ``used`` ones, so far apart."""
    random = np.random.default_rng(seed)
    return spread * np.eye(classes)[random.integers(0, used, n)] + random.normal(size=(n, classes))


def test_resampling_is_about_the_value_itself() -> None:
    z = patches(0, 4.0, used=6)
    draws = resampled(z)
    found = (balance(z.argmax(1), 10), diversity(z))
    for values, value in zip(draws.T, found, strict=True):
        assert values.mean() == pytest.approx(value, rel=0.01)
        assert 0 < values.std() < 0.1 * value
    assert (resampled(z) == draws).all()
    assert not (resampled(z, 1) == draws).all()


def test_the_spread_over_resamples_is_that_over_photographs_of_one_kind() -> None:
    values = [(balance(z.argmax(1), 10), diversity(z)) for z in (patches(seed, 3.0, used=4) for seed in range(100))]
    truth, found = np.std(values, 0), resampled(patches(0, 3.0, used=4)).std(0)
    np.testing.assert_allclose(found, truth, rtol=0.35)


def ranked(*logits: np.ndarray) -> list:
    found = [assess(chr(97 + i), z, 1.0) for i, z in enumerate(logits)]
    return ranking(found, [resampled(z, i) for i, z in enumerate(logits)])


def test_photographs_of_one_kind_are_not_told_apart_and_others_are() -> None:
    first, second, last = ranked(patches(0, 4.0), patches(1, 1.0, used=2), patches(2, 4.0))
    assert {first.candidate.spec, second.candidate.spec} == {"a", "c"}
    assert first.alike == (second.candidate.spec,)
    assert second.alike == (first.candidate.spec,)
    assert (last.candidate.spec, last.score, last.alike, last.interval) == ("b", 0.0, (), (0.0, 0.0))
    for each in (first, second):
        assert each.interval[0] <= each.score <= each.interval[1]


@pytest.mark.parametrize("n", [2, 3])
def test_a_few_patches_tell_nothing(n: int) -> None:
    found = ranked(patches(0, 1.0, n=n), patches(1, 1.0, n=n))
    assert all(each.alike for each in found)
    assert np.isfinite([each.interval for each in found]).all()
