"""Agreement of clusters and classes against scikit-learn."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from exuno.fewshot.validate import ari, contingency, nmi

PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(-2, 3)), min_size=1, max_size=40)


@given(PAIRS)
@example([(0, 0)])
@example([(0, 0)] * 5)
@example([(0, n) for n in range(5)])
@example([(n, 0) for n in range(5)])
@example([(n, n) for n in range(5)])
@settings(max_examples=200, deadline=None)
def test_both_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    labels, clusters = np.array(pairs).T
    assert nmi(labels, clusters) == pytest.approx(normalized_mutual_info_score(labels, clusters), abs=1e-9)
    assert ari(labels, clusters) == pytest.approx(adjusted_rand_score(labels, clusters), abs=1e-9)


def test_names_do_not_matter() -> None:
    random = np.random.default_rng(0)
    labels, clusters = random.integers(0, 5, 300), random.integers(0, 900, 300)
    assert nmi(labels, 7 - 3 * labels) == pytest.approx(1)
    assert ari(labels, 7 - 3 * labels) == 1
    assert abs(ari(labels, random.permutation(labels))) < 0.05
    assert contingency(labels, clusters).sum() == 300
    assert (contingency(labels, clusters).sum(1) == np.bincount(labels)).all()
