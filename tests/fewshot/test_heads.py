"""Prototypes, neighbours and scores against plain loops, one query after another."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from exuno.engine.errors import ExunoError
from exuno.fewshot.episodes import Episodes, draw
from exuno.fewshot.heads import accuracies
from exuno.fewshot.heads.score import Table, gathered, largest, num_correct, whole
from exuno.fewshot.options import heads


def clusters(classes: int, images: int, wide: int = 16, seed: int = 0) -> tuple[Tensor, np.ndarray]:
    """Features of noisy classes, in no order of their labels."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(classes), images))
    centres = generator.normal(size=(classes, wide))
    return torch.from_numpy((centres[labels] + generator.normal(size=(len(labels), wide))).astype("f4")), labels


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a @ b.T / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)


def by_prototype(support: np.ndarray, query: np.ndarray) -> float:
    found = cosines(query.reshape(-1, query.shape[-1]), support.mean(1)).argmax(1)
    return float((found == np.repeat(np.arange(len(query)), query.shape[1])).mean())


def by_neighbours(support: np.ndarray, query: np.ndarray, neighbours: int) -> float:
    way, shot, wide = support.shape
    hits = 0
    for label in range(way):
        for row in cosines(query[label], support.reshape(-1, wide)):
            votes = np.full(way, -np.inf)
            for near in np.argsort(-row, kind="stable")[:neighbours]:
                votes[near // shot] = row[near] + (0 if np.isinf(votes[near // shot]) else votes[near // shot])
            hits += int(votes.argmax() == label)
    return hits / (way * query.shape[1])


@settings(max_examples=25, deadline=None)
@given(way=st.integers(2, 6), shot=st.integers(1, 5), queries=st.integers(1, 9), data=st.data())
def test_prototypes_and_neighbours_are_those_of_a_plain_loop(way, shot, queries, data):
    neighbours = data.draw(st.integers(1, way * shot))
    features, labels = clusters(7, 15)
    chunks = list(draw(labels, way, shot, queries, 6, seed=way))
    table = features.double().numpy()
    pairs = [(table[s], table[q]) for c in chunks for s, q in zip(c.support, c.query, strict=True)]
    found = accuracies(features, labels, iter(chunks), "prototype")
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [by_prototype(*pair) for pair in pairs])
    found = accuracies(features, labels, iter(chunks), "knn", neighbours=neighbours)
    np.testing.assert_allclose(found, [by_neighbours(*pair, neighbours) for pair in pairs])


def test_one_neighbour_of_one_shot_is_the_prototype():
    features, labels = clusters(8, 20)
    one = accuracies(features, labels, draw(labels, 5, 1, 15, 200), "prototype")
    np.testing.assert_array_equal(accuracies(features, labels, draw(labels, 5, 1, 15, 200), "knn"), one)


def test_neighbours_of_equal_features_are_the_first_class():
    labels = np.repeat(np.arange(3), 8)
    for head in ("prototype", "knn"):
        for neighbours in (1, 4):
            found = accuracies(torch.ones(24, 4), labels, draw(labels, 3, 2, 5, 4), head, neighbours=neighbours)
            np.testing.assert_allclose(found, 1 / 3)


@pytest.mark.parametrize("neighbours", [0, 11])
def test_neighbours_out_of_range(neighbours: int):
    features, labels = clusters(5, 8)
    with pytest.raises(ExunoError, match=f"--neighbours is {neighbours}, but an episode has 10 support images"):
        accuracies(features, labels, draw(labels, 5, 2, 3, 2), "knn", neighbours=neighbours)


@pytest.mark.parametrize("ordered", [False, True])
def test_both_ways_of_scoring_agree(ordered: bool):
    features, labels = clusters(6, 30)
    labels = np.sort(labels) if ordered else labels
    table = Table.of(features, labels)
    chunk = next(draw(labels, 4, 5, 25, 300))
    weights, bias = torch.randn(300, 4, 16), torch.randn(300, 4)
    query = torch.from_numpy(chunk.query.copy())
    for b in (None, bias):
        found = gathered(table, weights, b, query)
        assert torch.equal(found, whole(table, weights, b, query))
        assert torch.equal(found, num_correct(table, weights, b, query))
    plain = (features[query[9].flatten()] @ weights[9].T + bias[9]).argmax(1)
    assert found[9] == (plain == torch.arange(4).repeat_interleave(25)).sum()


def test_the_first_of_equal_scores_is_the_largest():
    scores = torch.randint(0, 3, (20, 5, 40)).float()
    assert torch.equal(largest(scores).long(), torch.from_numpy(scores.numpy().argmax(1)))


@pytest.mark.parametrize("head", heads.names)
def test_chunks_change_nothing_and_progress_is_told(head):
    features, labels = clusters(6, 20)
    told: list[int] = []
    one = accuracies(features, labels, draw(labels, 3, 2, 5, 7, chunk=7), head, seed=3)
    found = accuracies(features, labels, draw(labels, 3, 2, 5, 7, chunk=3), head, seed=3, progress=told.append)
    np.testing.assert_array_equal(one, found)
    assert told == [3, 3, 1]
    assert found.mean() > 0.6


def test_features_that_no_head_can_use():
    features, labels = clusters(5, 8)
    empty = iter(list[Episodes]())
    with pytest.raises(ExunoError, match="but there are 39 labels"):
        accuracies(features, labels[1:], empty, "prototype")
    with pytest.raises(ExunoError, match="no episodes"):
        accuracies(features, labels, empty, "prototype")
    features[3, 2] = torch.nan
    with pytest.raises(ExunoError, match="NaN or infinity"):
        accuracies(features, labels, empty, "prototype")
