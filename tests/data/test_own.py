"""``module:Name``: mean and std of the training images, whatever split is opened, and no split that is not needed."""

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from exuno.data.open import open_data
from exuno.data.relabelled import Relabelled

SOURCE = """
import numpy as np
made = []

class Own:
    def __init__(self, split):
        made.append(split)
        if split == "train" and LACKS:
            raise OSError("no such file")
        self.value = {"train": 40, "test": 200}[split]
    def __len__(self):
        return 4
    def __getitem__(self, number):
        return np.full((8, 8, 3), self.value + number, np.uint8), number % 2 + FIRST
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    name = "own_" + "".join(letter for letter in tmp_path.name if letter.isalnum())
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


def test_mean_and_std_are_those_of_the_training_images(module: str, tmp_path: Path) -> None:
    (tmp_path / f"{module}.py").write_text(f"LACKS, FIRST = False, 0{SOURCE}")
    test = open_data(f"{module}:Own", "test")
    assert test.mean == pytest.approx((41.5 / 255,) * 3, abs=1e-6)
    train = open_data(f"{module}:Own", "train")
    assert (test.mean, test.std) == (train.mean, train.std)
    assert open_data(f"{module}:Own", "test").mean == train.mean
    assert sys.modules[module].made == ["test", "train", "train", "test"]  # what was known is not made again
    assert np.asarray(test.fetch(np.arange(1))[0]).max() == 200


def test_a_split_is_made_without_the_other(module: str, tmp_path: Path) -> None:
    """Also where its labels are the numbers of a model, and where a worker process gets it."""
    (tmp_path / f"{module}.py").write_text(f"LACKS, FIRST = False, 0{SOURCE}")
    test = open_data(f"{module}:Own", "test")
    other = Relabelled(pickle.loads(pickle.dumps(test)), (1, 0), None, 2)
    assert other.fetch(np.arange(2))[1].tolist() == [1, 0]
    assert sys.modules[module].made == ["test"]
    assert other.mean == pytest.approx((41.5 / 255,) * 3, abs=1e-6)
    assert not hasattr(other, "rows")
    assert sys.modules[module].made == ["test", "train"]


def test_a_training_split_that_is_data_already_has_its_own(module: str, tmp_path: Path) -> None:
    wrapped = "from exuno.data.base import ArrayData\nPairs = Own\n"
    wrapped += "def Own(split):\n    rows, stats = Pairs(split), ((0.25,) * 3, (0.5,) * 3)\n"
    wrapped += "    images = np.zeros((1, 3, 4, 4), np.uint8)\n"
    wrapped += "    return ArrayData('own', images, np.zeros(1, int), stats=stats) if split == 'train' else rows\n"
    (tmp_path / f"{module}.py").write_text(f"LACKS, FIRST = False, 0{SOURCE}{wrapped}")
    test = open_data(f"{module}:Own", "test")
    assert (test.mean, test.std) == ((0.25,) * 3, (0.5,) * 3)


def test_without_training_images_it_is_told(module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / f"{module}.py").write_text(f"LACKS, FIRST = True, 0{SOURCE}")
    test = open_data(f"{module}:Own", "test")
    assert test.mean == pytest.approx((201.5 / 255,) * 3, abs=1e-6)
    assert f"mean and std of {module}:Own are those of its split 'test'" in capsys.readouterr().err


def test_labels_that_count_from_one_are_told(module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / f"{module}.py").write_text(f"LACKS, FIRST = False, 1{SOURCE}")
    assert open_data(f"{module}:Own").num_classes == 3
    assert "1 of 3 classes has no image (0); if they count from 1, subtract 1" in capsys.readouterr().err
