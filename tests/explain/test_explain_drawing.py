"""Pictures: points where they belong, the same axes for all, and answers as a ground."""

import numpy as np
import pytest

from exuno.explain.drawing import COLOURS, LEFT, SIDE, TOP, Panel, box_of, matrix, projection
from exuno.explain.geometry import plane_of


def panel(title: str = "", shift: float = 0.0) -> Panel:
    centroids = np.array([[-1.0, -0.5], [1, -0.5], [0, 1]]) + shift
    labels = np.repeat(np.arange(3), 5)
    random = np.random.default_rng(0)
    return Panel(title, centroids[labels] + 0.1 * random.normal(size=(15, 2)), labels, centroids)


def test_a_box_holds_the_points_of_all_panels_in_equal_units() -> None:
    one, other = panel(), panel(shift=2.0)
    box = box_of([one, other])
    for each in (one, other):
        found = box.pixels(each.points)
        assert (found > 0).all()
        assert (found < [SIDE, box.height]).all()
    zero, right, up = box.pixels(np.array([[0.0, 0], [1, 0], [0, 1]]))
    assert right[0] - zero[0] == pytest.approx(zero[1] - up[1], rel=0.01)
    flat = Panel("", np.array([[0.0, 0], [9, 0]]), np.zeros(2, np.int64), np.zeros((3, 2)))
    assert box_of([flat]).height == pytest.approx(0.4 * SIDE, abs=1)


def test_centroids_have_the_colour_of_their_class() -> None:
    mine = panel()
    box = box_of([mine])
    picture = projection([mine], ["cat", "dog", "ship"], box)
    for label, (x, y) in enumerate(box.pixels(mine.centroids).round().astype(int)):
        assert tuple(picture[TOP + y, LEFT + x]) == COLOURS[label]


def test_splits_stand_side_by_side() -> None:
    box = box_of([panel()])
    one = projection([panel()], "abc", box)
    two = projection([panel("train"), panel("test")], "abc", box)
    assert two.shape[0] == one.shape[0]
    assert two.shape[1] > 2 * SIDE
    np.testing.assert_array_equal(one[TOP + 20 : -60, LEFT : LEFT + SIDE], two[TOP + 20 : -60, LEFT : LEFT + SIDE])


def test_the_ground_has_the_colour_of_the_answer() -> None:
    weight, bias = np.array([[-1.0, 0, 0], [1, 0, 0], [0, 1.5, 0]]), np.zeros(3)
    features = np.repeat(weight * 2, 4, 0)
    plane = plane_of("templates", weight, bias, features, weight * 2, 1.0)
    mine = Panel("", plane(features), np.repeat(np.arange(3), 4), plane(weight * 2))
    box = box_of([mine])
    picture = projection([mine], "abc", box, (plane, weight, bias)).astype(int)
    for label, (x, y) in enumerate(box.pixels(mine.centroids).round().astype(int)):
        around = picture[TOP + y - 40 : TOP + y + 40, LEFT + x - 40 : LEFT + x + 40].reshape(-1, 3)
        ground = np.median(around, 0)  # a mark, a line and the grid cover less than half of it
        nearest = np.abs(255 - 0.13 * (255 - np.array(COLOURS)) - ground).sum(1)
        assert nearest.argmin() == label
        assert nearest.min() < 2


def test_a_heat_map_is_darker_where_classes_are_nearer() -> None:
    values = np.array([[0, 0.5, 1], [0.5, 0, 1.5], [1, 1.5, 0]])
    names, none = ["a", "b", "c"], np.zeros((3, 3), bool)
    picture = matrix(values, names, none, diverging=False).astype(int)
    cell = 84
    start = picture.shape[0] - 3 * cell - 6

    def shade(i: int, j: int, image: np.ndarray = picture) -> int:
        return int(image[start + i * cell + 12, start + j * cell + 12].sum())

    assert shade(0, 1) < shade(0, 2) < shade(1, 2)
    framed = matrix(values, names, np.eye(3, k=1, dtype=bool), diverging=False)
    assert framed[start + 1, start + cell + 20].sum() < framed[start + 1, start + 2 * cell + 20].sum()
    change = matrix(np.array([[0, -0.2, 0.2], [-0.2, 0, 0.1], [0.2, 0.1, 0]]), names, none, diverging=True).astype(int)
    nearer, farther = (change[start + 12, start + j * cell + 12] for j in (1, 2))
    assert nearer[2] > nearer[0]
    assert farther[0] > farther[2]


@pytest.mark.parametrize("classes", [60, 1000])
def test_a_heat_map_of_many_classes_stays_small(classes: int) -> None:
    values = np.random.default_rng(0).random((classes, classes))
    names = [f"class {i}" for i in range(classes)]
    assert max(matrix(values, names, values < 0.1, diverging=False).shape) < 1100
