"""Which classes count as similar, and which three are shown."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exuno.engine.errors import ExunoError
from exuno.explain.similar import grouped, nearest, three_of

NAMES = ("cat", "dog", "wolf", "ship", "truck")
PLACES = np.array([0.0, 4.0, 5.0, 20.0, 22.5])
DISTANCES = np.abs(PLACES[:, None] - PLACES)


def pairs(mask: np.ndarray) -> set[str]:
    return {f"{NAMES[i]}-{NAMES[j]}" for i, j in zip(*np.nonzero(mask), strict=True)}


def test_the_nearest_classes() -> None:
    assert pairs(nearest(DISTANCES, 1)) == {"cat-dog", "dog-wolf", "wolf-dog", "ship-truck", "truck-ship"}
    assert nearest(DISTANCES, 2).sum(1).tolist() == [2] * 5
    assert nearest(DISTANCES, None).sum(1).tolist() == [3] * 5
    assert nearest(DISTANCES[:3, :3], None).sum(1).tolist() == [1] * 3


def test_a_class_never_is_its_own_neighbour() -> None:
    assert not nearest(np.zeros((5, 5)), 3).diagonal().any()


def test_so_many_neighbours_that_no_class_is_left() -> None:
    with pytest.raises(ExunoError, match="--neighbours is 4, but there are 5 classes"):
        nearest(DISTANCES, 4)


def write(folder: Path, content: Any) -> Path:
    path = folder / "groups.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_classes_of_a_group(tmp_path: Path) -> None:
    path = write(tmp_path, {"canines": ["dog", "wolf", "fox"], "vehicles": ["ship", "truck"], "others": ["cat"]})
    assert pairs(grouped(path, NAMES, ["fox"])) == {"dog-wolf", "wolf-dog", "ship-truck", "truck-ship"}


@pytest.mark.parametrize(
    ("content", "said", "todo"),
    [
        ({"a": ["dog", "wlf"]}, "there is no class 'wlf' in the group 'a'", "Did you mean 'wolf'?"),
        ({"a": ["dog", "wolf"], "b": ["dog"]}, "has the class 'dog' in 'a' and in 'b'", "one group"),
        ({"a": ["dog"], "b": ["cat"]}, "has no group of two classes", "into one group"),
        ({"a": list(NAMES)}, "has all classes in one group", "at least two groups"),
        (["dog"], "it holds a list, not names", "Mend the file"),
        ({"a": "dog"}, "holds no groups of classes", "The form is"),
        ("{", "is damaged", "Mend the file"),
    ],
)
def test_files_that_hold_no_groups(content: Any, said: str, todo: str, tmp_path: Path) -> None:
    with pytest.raises(ExunoError) as caught:
        grouped(write(tmp_path, content), NAMES)
    assert said in caught.value.what
    assert todo in (caught.value.todo or "")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ExunoError, match="there is no file"):
        grouped(tmp_path / "gone.json", NAMES)


def test_the_two_nearest_classes_and_the_one_far_from_both() -> None:
    assert three_of(NAMES, (), DISTANCES) == [1, 2, 4]
    order = [3, 0, 1, 4, 2]
    shuffled = DISTANCES[np.ix_(order, order)]
    found = [NAMES[order[i]] for i in three_of([NAMES[i] for i in order], (), shuffled)]
    assert found == ["dog", "wolf", "truck"]


def test_the_third_class_is_far_from_both_not_from_one() -> None:
    distances = np.array([[0, 1.0, 9, 5], [1, 0, 2, 5], [9, 2, 0, 5], [5, 5, 5, 0]])
    assert three_of("abcd", (), distances) == [0, 1, 3]


def test_three_classes_as_asked() -> None:
    assert three_of(NAMES, ("truck", "cat", "dog"), DISTANCES) == [4, 0, 1]
    with pytest.raises(ExunoError) as caught:
        three_of(NAMES, ("truck", "cat", "dgo"), DISTANCES)
    assert caught.value.what.startswith("there is no class 'dgo'")
    assert "Did you mean 'dog'?" in (caught.value.todo or "")
