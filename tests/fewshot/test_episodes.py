"""Draws of episodes: what they hold, that they are functions of (seed, number), and those of the published code."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exuno.engine.errors import ExunoError
from exuno.fewshot.episodes import Episodes, distinct, draw, members
from exuno.fewshot.options import Protocol


def joined(chunks: list[Episodes]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([c.support for c in chunks]), np.concatenate([c.query for c in chunks])


@settings(max_examples=40, deadline=None)
@given(
    way=st.integers(2, 6),
    shot=st.integers(1, 5),
    queries=st.integers(1, 8),
    protocol=st.sampled_from(["standard", "smkd", "reference"]),
    seed=st.integers(0, 2**40),
    data=st.data(),
)
def test_an_episode_has_different_images_of_different_classes(way, shot, queries, protocol, seed, data):
    sizes = data.draw(st.lists(st.integers(shot + queries, 20), min_size=way, max_size=8))
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)) * 3 + 1, sizes))
    support, query = joined(list(draw(labels, way, shot, queries, 7, seed % 2**32, protocol, chunk=3)))
    assert support.shape == (7, way, shot)
    assert query.shape == (7, way, queries)
    every = np.concatenate([support, query], 2)
    for episode in every:
        assert len(np.unique(episode)) == episode.size
        assert (labels[episode] == labels[episode[:, :1]]).all()
        assert len(np.unique(labels[episode[:, 0]])) == way


@pytest.mark.parametrize("protocol", ["standard", "smkd"])
def test_chunks_change_nothing(protocol: Protocol):
    labels = np.repeat(np.arange(6), 40)
    one = joined(list(draw(labels, 3, 2, None, 25, 7, protocol, chunk=25)))
    chunks = list(draw(labels, 3, 2, None, 25, 7, protocol, chunk=4))
    assert [c.first for c in chunks] == [0, 4, 8, 12, 16, 20, 24]
    for a, b in zip(one, joined(chunks), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (joined(list(draw(labels, 3, 2, None, 25, 8, protocol)))[0] != one[0]).any()


def test_queries_by_protocol():
    labels = np.repeat(np.arange(3), [30, 25, 40])
    assert next(draw(labels, 2, 5)).query.shape[2] == 15
    assert next(draw(labels, 2, 5, protocol="smkd", episodes=4)).query.shape[2] == 20
    assert next(draw(labels, 2, 5, 3, protocol="smkd", episodes=4)).query.shape[2] == 3


def test_the_published_number_of_queries_does_not_depend_on_the_classes():
    """600 - k of each class, also where all classes have more, as those of tieredImageNet do; the same draws as smkd
    makes, which there goes on to the end of the smallest class."""
    labels = np.repeat(np.arange(3), [640, 700, 601])
    for shot in (1, 5):
        all_others = next(draw(labels, 2, shot, episodes=3, protocol="smkd", seed=4))
        published = next(draw(labels, 2, shot, episodes=3, protocol="reference", seed=4))
        assert (all_others.query.shape[2], published.query.shape[2]) == (601 - shot, 600 - shot)
        np.testing.assert_array_equal(published.support, all_others.support)
        np.testing.assert_array_equal(published.query, all_others.query[..., : 600 - shot])


@pytest.mark.parametrize("total", [3, 70])
def test_every_image_is_drawn_equally_often(total: int):
    rows, size = 3000, 80
    chance = np.random.default_rng(0).random((rows, total))
    drawn = distinct(chance, np.full(rows, size))
    assert all(len(set(row)) == total for row in drawn.tolist())
    for column in drawn.T[[0, 1, total - 1]]:
        count = np.bincount(column, minlength=size)
        assert abs(count - rows / size).max() < 6 * (rows / size) ** 0.5


def test_both_ways_of_drawing_cover_all_of_a_small_class():
    chance = np.random.default_rng(0).random((50, 70))
    np.testing.assert_array_equal(np.sort(distinct(chance, np.full(50, 70)), 1), np.tile(np.arange(70), (50, 1)))
    few = distinct(chance[:, :5], np.full(50, 5))
    np.testing.assert_array_equal(np.sort(few, 1), np.tile(np.arange(5), (50, 1)))


def test_members_are_sorted_by_label():
    found = members(np.array([5, 2, 5, 9, 2]))
    assert found.order.tolist() == [1, 4, 0, 2, 3]
    assert found.label.tolist() == [2, 5, 9]
    assert found.start.tolist() == [0, 2, 4]
    assert found.size.tolist() == [2, 2, 1]


# Recorded from the published feature_evaluation_cos at seed 222, which was handed as features of an image its number:
# 8 classes of 12 images, 3-way 2-shot, the first two episodes; support of each class and its first three queries.
GOLDEN = [
    [[13, 21, 16, 12, 22], [85, 86, 94, 90, 87], [26, 34, 30, 28, 27]],
    [[55, 50, 54, 48, 56], [8, 10, 5, 2, 7], [73, 72, 83, 75, 77]],
]


def test_draws_of_the_published_code():
    found = next(draw(np.repeat(np.arange(8), 12), 3, 2, None, 2, 222, "smkd"))
    assert found.query.shape == (2, 3, 10)
    assert np.concatenate([found.support, found.query[..., :3]], 2).tolist() == GOLDEN


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"way": 5, "shot": 1}, "--way 5 but the data has 3 classes"),
        ({"way": 1, "shot": 1}, "--way is 1"),
        ({"way": 2, "shot": 0}, "--shot is 0"),
        ({"way": 2, "shot": 1, "queries": 0}, "--queries is 0"),
        ({"way": 2, "shot": 1, "episodes": 0}, "--episodes is 0"),
        ({"way": 2, "shot": 5}, r"class 1 \(cat\) has 12 images, but --shot 5 and --queries 15 need 20"),
        ({"way": 2, "shot": 1, "seed": -1, "protocol": "smkd"}, "--seed is -1"),
        ({"way": 2, "shot": 12, "protocol": "smkd"}, r"class 1 \(cat\) has 12 images"),
        ({"way": 2, "shot": 1, "protocol": "reference"}, r"class 1 \(cat\) has 12 images; .* takes 600 of each class"),
    ],
)
def test_what_cannot_be_drawn(arguments, message):
    with pytest.raises(ExunoError, match=message):  # by the call, before the first chunk
        draw(np.repeat([0, 1, 2], [20, 12, 20]), names=["dog", "cat", "owl"], **arguments)
