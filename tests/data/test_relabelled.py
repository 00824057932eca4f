"""A data set with the labels of a model."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from exuno.data.base import ArrayData
from exuno.data.images.folder import open_folder
from exuno.data.loader import Loader
from exuno.data.matching import Side
from exuno.data.relabelled import Relabelled, relabelled
from exuno.engine.options import Augment

MODEL = Side("the model", 4, ("ship", "cat", "sun", "dog"))


def data(labels: list[int], names: tuple[str, ...] | None = ("cat", "dog", "ship")) -> ArrayData:
    pixels = np.arange(len(labels), dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 4, 4), np.uint8)
    return ArrayData("d", pixels, np.array(labels), names)


def test_labels_are_the_numbers_of_the_models_classes(capsys: pytest.CaptureFixture[str]) -> None:
    old = data([0, 1, 2, -1, 0])
    new = relabelled(old, MODEL)
    assert (new.classes, new.num_classes, len(new)) == (MODEL.names, 4, 5)
    images, labels = new.fetch(np.array([4, 2, 3]))
    assert labels.tolist() == [1, 0, -1]
    assert images[:, 0, 0, 0].tolist() == [4, 2, 3]
    assert new.labels.tolist() == [1, 3, 0, -1, 1]
    assert (new.mean, new.image_size, new.groups) == (old.mean, old.image_size, None)
    assert new.fingerprint() != old.fingerprint()
    assert pickle.loads(pickle.dumps(new)).fetch(np.array([2]))[1].tolist() == [0]
    relabelled(old, MODEL)
    assert capsys.readouterr().err.count("matched by name") == 1


def test_data_that_have_them_already_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    old = data([0, 1, 2])
    assert relabelled(old, Side("m", 3, ("Cat", "dog", "ship"))) is old
    assert relabelled(old, Side("m", 3, None)) is old
    assert capsys.readouterr().err == ""


def test_soft_labels_change_columns() -> None:
    new = Relabelled(data([0, 1]), (2, 0), None, 3)
    assert new.new(torch.tensor([[0.7, 0.3]])).tolist() == [[pytest.approx(0.3), 0, pytest.approx(0.7)]]


@pytest.mark.parametrize("dali", [False, True])
def test_a_training_takes_them(tmp_path: Path, dali: bool) -> None:
    """Also from DALI, which reads the files by itself."""
    for level, name in enumerate(("cat", "dog", "ship")):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.fromarray(np.full((8, 8, 3), 60 * level, np.uint8)).save(tmp_path / name / f"{number}.png")
    new = relabelled(open_folder(tmp_path, "train"), MODEL)
    if dali:
        pytest.importorskip("nvidia.dali")
        from exuno.data.dali import DaliLoader

        loader = DaliLoader(new, 6, Augment())
    else:
        loader = Loader(new, 6, Augment())
    for batch in loader.epoch(0):
        levels = (batch["images"].mean((1, 2, 3)) * 255 / 60).round().long().cpu()
        assert torch.equal(torch.tensor([1, 3, 0])[levels], batch["labels"])
