"""Tables and files of what was measured."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exuno.explain.penultimate import (
    MOST,
    Measured,
    geometry_rows,
    neighbours,
    numbers,
    signed,
    write_distances,
    write_points,
)
from exuno.explain.similar import nearest

NAMES = ("cat", "dog", "wolf", "ship", "truck")
PLACES = np.array([0.0, 4.0, 5.0, 20.0, 22.5])
DISTANCES = np.abs(PLACES[:, None] - PLACES) / 10


def measured(name: str, eta: float | None = None, split: str = "test", **changes: Any) -> Measured:
    numbers: dict[str, Any] = {"images": 50, "top1": 0.9, "within": 0.4, "near": 0.8, "spread_near": 0.2}
    numbers |= {"spread_far": 0.1, "distances": DISTANCES, "interval": (0.0, 0.1), "eta_of_classes": np.full(5, 0.05)}
    return Measured(name, split, eta=eta, **{**numbers, **changes})


@pytest.mark.parametrize(("value", "text"), [(0.0525, "+5.2"), (-0.013, "−1.3"), (float("nan"), "–")])
def test_signed(value: float, text: str) -> None:
    assert signed(value) == text


def test_a_row_for_each_model_and_split() -> None:
    rows = [measured("a"), measured("b", 0.05)]
    table = geometry_rows(rows, several=False, note="how")
    assert table["rows"][0] == ["a", "90.0 %", "0.400", "0.800", "0.200", "0.100", "reference"]
    assert table["rows"][1][-1] == "+5.0 ± 5.0"
    assert len(table["head"]) == 7
    both = geometry_rows([*rows, measured("a", split="train")], several=True, note="how")
    assert [row[1] for row in both["rows"]] == ["test", "test", "train"]
    assert both["head"][1] == "split"


def test_each_class_with_its_similar_ones() -> None:
    rows = [measured("a"), measured("b", 0.05)]
    table = neighbours(rows, NAMES, nearest(DISTANCES, 2), DISTANCES)
    assert table["rows"][0] == ["cat", "dog 0.40, wolf 0.50", "+5.0"]
    assert table["rows"][4][:2] == ["truck", "ship 0.25, wolf 1.75"]
    assert table["head"] == ["class", "similar classes", "η, b"]
    assert neighbours(rows[:1], NAMES, nearest(DISTANCES, 2), DISTANCES)["head"] == ["class", "similar classes"]


def test_of_many_classes_those_that_moved_most() -> None:
    count = 50
    places = np.arange(count) ** 1.5
    distances = np.abs(places[:, None] - places)
    moved = np.zeros(count)
    moved[[7, 40]] = -0.5, 0.5
    names = [f"class {i}" for i in range(count)]
    rows = [measured("a"), measured("b", 0.05, eta_of_classes=moved)]
    table = neighbours(rows, names, nearest(distances, 3), distances)
    assert len(table["rows"]) == MOST
    assert {"class 7", "class 40"} <= {row[0] for row in table["rows"]}
    assert "20 of 50 classes" in table["note"]
    alone = neighbours(rows[:1], names, nearest(distances, 3), distances)
    assert alone["rows"][0][0] == "class 0"
    assert [row[0] for row in alone["rows"]][-1] == "class 19"


def test_the_numbers_of_a_result() -> None:
    found = numbers([measured("a"), measured("b", 0.05)])
    assert found["metrics"] == {"b/test/eta": 0.05}
    assert found["intervals"] == {"b/test/eta": [0.0, 0.1]}
    assert found["geometry"]["a/test"]["eta"] is None
    assert found["geometry"]["b/test"]["within"] == 0.4


def test_distances_and_points_are_written(tmp_path: Path) -> None:
    rows = [measured("a"), measured("b", 0.05, distances=2 * DISTANCES)]
    write_distances(tmp_path / "d.csv", rows, NAMES, nearest(DISTANCES, 1))
    with (tmp_path / "d.csv").open() as file:
        lines = [*csv.DictReader(file)]
    assert len(lines) == 10
    assert lines[0] == {"class": "cat", "other": "dog", "similar": "1", "a/test": "0.40000", "b/test": "0.80000"}
    assert [line["similar"] for line in lines if line["class"] == "cat"] == ["1", "0", "0", "0"]
    write_points(tmp_path / "p.csv", {"a/test": (np.array([[0.5, -1.0]]), ["cat"])})
    assert (tmp_path / "p.csv").read_text().split() == ["model,class,x,y", "a/test,cat,0.50000,-1.00000"]
