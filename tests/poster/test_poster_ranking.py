"""DD-Ranking's scores: by hand, made of what measure finds, and as a user asks for them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mean_poster import RECIPE, digits, mean_poster

from exuno.cli import main
from exuno.data.poster.format import save
from exuno.engine.errors import ExunoError
from exuno.poster.measure import measure
from exuno.poster.options import Evaluation
from exuno.poster.ranking import RANDOM, Ranking, normalised, random_images, rank

CPU = torch.device("cpu")
PROOF = Evaluation(networks=2, steps=(10, 20), baselines=2)


def test_scores_by_hand() -> None:
    found = Ranking(0.9, 0.5, 0.7, 1.0, 0.8, 0.6, 0.9, 0.5)
    assert found.label_robust == pytest.approx((np.exp(0.05) - np.exp(-1)) / (np.e - np.exp(-1)))  # (.4 - .3) / 2
    assert found.augmentation_robust == pytest.approx((np.exp(0.3) - np.exp(-1)) / (np.e - np.exp(-1)))  # (.2 + .4) / 2
    assert [normalised(gain) for gain in (-1.0, 1.0)] == pytest.approx([0, 1])
    assert found.table("crop")["rows"][0] == ["by its protocol", "90.0", "50.0", ""]


def test_each_accuracy_is_that_of_its_training() -> None:
    """The mean poster's labels are hard and its protocol augments nothing; measure trains the same networks."""
    poster, test, train = mean_poster(), digits("test"), digits("train")
    found = rank(poster, test, train, PROOF, 7, CPU, "crop_scale", quiet=True)
    measured = measure(poster, test, train, PROOF, 7, CPU, quiet=True)
    assert found.poster == found.poster_plain == found.poster_hard == measured.metrics["poster/top1"]
    assert found.random == found.random_plain == measured.baselines[f"{RANDOM}/top1"]
    assert found.all_hard > found.poster > found.random
    assert found.poster_augmented != found.poster_plain
    assert found.random_augmented != found.random_plain


def test_hard_labels_are_the_likeliest_ones() -> None:
    labels = np.ones((10, 2, 5), np.float16)
    labels[mean_poster().order.ravel(), np.arange(10) // 5, np.arange(10) % 5] = 3
    soft = mean_poster(labels=labels)
    hard = replace(soft, labels=(labels == 3).astype(np.float16))
    found, other = (
        rank(each, digits("test"), digits("train"), PROOF, 7, CPU, "none", quiet=True) for each in (soft, hard)
    )
    assert found.poster_hard == other.poster_hard == other.poster
    assert found.poster != found.poster_hard


def test_random_images_are_shrunk_where_not_all_classes_fit() -> None:
    poster, train = mean_poster(), digits("train")
    assert len(random_images(poster, train, 0)[0]) == 10
    small = replace(poster.layout, size=(8, 20), area=(4, 4), patches=(1, 3))
    images, labels = random_images(replace(poster, pixels=poster.pixels[:, :8, :20].copy(), layout=small), train, 0)
    assert images.shape == (10, 1, 8, 8)
    assert labels.argmax(1).tolist() == list(range(10))


def test_a_user_asks_for_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(mean_poster(), tmp_path / "digits.poster")
    words = ["eval", str(path), "--networks", "1", "--steps", "20", "--baselines", "0", "--devices", "cpu"]
    assert main([*words, "--ranking", "crop", "--run-dir", str(tmp_path / "run")]) == 0
    assert "Label-robust score" in capsys.readouterr().out
    content = json.loads((tmp_path / "run/result.json").read_text())
    assert content["ranking"]["poster"] == content["metrics"]["poster/top1"]
    assert 0 < content["ranking"]["label_robust"] < 1
    assert "augmented by crop" in (tmp_path / "run/report.html").read_text()
    assert main([*words, "--ranking", "blur"]) == 2
    assert "'blur' in 'blur' is no augmentation" in capsys.readouterr().err
    assert main(["eval", "exuno:resnet8", "--data", "digits", "--ranking", "crop"]) == 2
    assert "which is no poster" in capsys.readouterr().err


def test_a_wrong_augmentation_is_told_before_anything_is_trained() -> None:
    with pytest.raises(ExunoError, match="no augmentation"):
        rank(mean_poster(), digits("test"), digits("train"), PROOF, 0, CPU, "sharpen", quiet=True)
    assert RECIPE.inner.augment == "none"
