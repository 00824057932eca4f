"""Prototypes by numba against those by torch."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_heads import clusters

from exuno.fewshot.episodes import Episodes, draw
from exuno.fewshot.heads import accuracies, prototype
from exuno.fewshot.heads.score import Table, num_correct

fused = pytest.importorskip(
    "exuno.fewshot.heads.fused", reason="needs numba: pip install 'exuno[numba]'", exc_type=ImportError
)


@settings(max_examples=30, deadline=None)
@given(
    way=st.integers(2, 9),
    shot=st.integers(1, 6),
    queries=st.integers(1, 9),
    wide=st.integers(8, 70),
    episodes=st.integers(1, 40),
    seed=st.integers(0, 99),
)
def test_the_kernel_equals_torch_but_for_rounding(way, shot, queries, wide, episodes, seed):
    features, labels = clusters(9, 15, wide, seed)
    chunk = next(draw(labels, way, shot, queries, episodes, seed))
    support, query = torch.tensor(chunk.support), torch.tensor(chunk.query)
    means = prototype.prototypes(features.double(), support)
    scores = torch.einsum("enqd,ewd->enqw", features.double()[query], means)
    own = torch.arange(way)[:, None].expand(-1, queries)
    rivals = scores.masked_fill(torch.eye(way, dtype=torch.bool)[:, None], -torch.inf).amax(3)
    lead = scores.gather(3, own[None, ..., None].expand(episodes, -1, -1, 1))[..., 0] - rivals
    unsure = (lead.abs() < 1e-5 * scores.abs().amax(3)).sum((1, 2))  # these, rounding decides
    assert ((fused.classify(features, support, query) - (lead > 0).sum((1, 2))).abs() <= unsure).all()
    assert unsure.float().mean() < 0.1 * way * queries


def test_of_equal_scores_the_first_class_wins():
    features, query = torch.ones(24, 40), torch.arange(24).view(1, 3, 8)
    assert fused.classify(features, query[..., :2], query[..., 2:]).tolist() == [6]
    features = -features * torch.tensor([2.0] * 16 + [1.0] * 8)[:, None]  # lengths change nothing
    assert fused.classify(features, query[..., :2], query[..., 2:]).tolist() == [6]


@pytest.mark.parametrize("threads", [1, 2])
def test_features_of_no_length_and_threads(threads: int):
    """Zeros score 0 everywhere and belong to the first class; parts of episodes keep their order."""
    features = torch.zeros(12, 20)
    features[6:] = 1
    query = torch.arange(12).view(1, 2, 6).repeat(11, 1, 1)
    query[4] = query[4].flip(0)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = fused.classify(features, query[..., :1], query[..., 1:])
    finally:
        torch.set_num_threads(before)
    assert found.tolist() == [10] * 4 + [5] + [10] * 6


def used(monkeypatch, features, labels, drawn) -> int:
    """Calls of the kernel for these episodes, whose accuracies are those of torch."""
    calls = []

    def counted(*arguments: torch.Tensor) -> torch.Tensor:
        calls.append(0)
        return kernel(*arguments)

    kernel, chunks = fused.classify, list(drawn)
    monkeypatch.setattr(fused, "classify", counted)
    found = accuracies(features, labels, iter(chunks), "prototype")
    monkeypatch.setattr(fused, "classify", kernel)
    table = Table.of(features, labels)
    plain = []
    for chunk in chunks:
        query = torch.tensor(chunk.query)
        weights = prototype.prototypes(features, torch.tensor(chunk.support))
        plain.append(num_correct(table, weights, None, query) / query[0].numel())
    np.testing.assert_allclose(found, torch.cat(plain), atol=1e-6)
    return len(calls)


def test_very_many_episodes_take_the_kernel(monkeypatch):
    features, labels = clusters(6, 60)
    drawn = list(draw(labels, 5, 5, 10, 30, chunk=15))
    assert [chunk.total for chunk in drawn] == [30, 30]
    assert used(monkeypatch, features, labels, drawn) == 0
    work = 30 * 5 * 10 * 5 * 16
    monkeypatch.setattr(prototype, "_LARGE", work + 1)
    assert used(monkeypatch, features, labels, drawn) == 0
    monkeypatch.setattr(prototype, "_LARGE", work)
    assert used(monkeypatch, features, labels, drawn) == 2
    # whole classes are multiplied as before
    assert used(monkeypatch, features, labels, draw(labels, 5, 5, 50, 300)) == 0
    # given episodes have no number
    assert used(monkeypatch, features, labels, [Episodes(c.support, c.query) for c in drawn]) == 0


def test_without_numba_torch_answers(monkeypatch):
    features, labels = clusters(6, 60)
    expected = accuracies(features, labels, draw(labels, 5, 5, 10, 30), "prototype")
    monkeypatch.setattr(prototype, "_LARGE", 1)
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "exuno.fewshot.heads.fused")
    monkeypatch.delattr("exuno.fewshot.heads.fused")
    np.testing.assert_array_equal(accuracies(features, labels, draw(labels, 5, 5, 10, 30), "prototype"), expected)
    assert "exuno.fewshot.heads.fused" not in sys.modules
