"""Candidates for the normalisation of the input, and what is concluded from answers under each."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from exuno.data.constants import CIFAR, IMAGENET
from exuno.doctor.examination import Candidate, candidates, under
from exuno.doctor.measures import alike, better, calibrate, compare, constant, finite
from exuno.engine.errors import ExunoError
from exuno.models.card import ModelCard
from exuno.models.classifier import Classifier

RGB = ModelCard("exuno:resnet20", 10, 3, (4, 4), (0.49, 0.48, 0.45), (0.25, 0.24, 0.26))
GRAY = ModelCard("exuno:convnet_2_64", 10, 1, (8, 8), (0.3,), (0.4,))


def names(found: list[Candidate]) -> list[str]:
    return [each.name for each in found]


def test_candidates_of_three_channels() -> None:
    found = candidates(RGB, (0.3, 0.4, 0.5), (0.2, 0.2, 0.2))
    assert names(found)[:3] == ["the card's", "the data's own", "ImageNet's"]
    assert len(found) == 9
    assert [each.name for each in found if each.bgr] == ["the card's, BGR", "Caffe's (BGR, [0, 255] minus a mean)"]


def test_equal_ones_are_one() -> None:
    found = candidates(replace(RGB, mean=IMAGENET[0], std=IMAGENET[1]), (0.486, 0.456, 0.406), IMAGENET[1])
    assert found[0].name == "the card's = the data's own = ImageNet's"
    assert len(found) == 7


@pytest.mark.parametrize(("mean", "std"), [(0.5, 0.5), (0.45, 0.225)])
def test_the_order_of_channels_is_tried_where_their_statistics_are_equal(mean: float, std: float) -> None:
    found = candidates(replace(RGB, mean=(mean,) * 3, std=(std,) * 3), *CIFAR)
    turned = [each for each in found if each.bgr]
    assert [each.name for each in turned] == ["the card's, BGR", "Caffe's (BGR, [0, 255] minus a mean)"]
    assert turned[0].ends() == found[0].ends()  # only the pixels tell them apart


def test_gray_models_and_data() -> None:
    assert names(candidates(GRAY, (0.1,), (0.2,))) == [
        "the card's", "the data's own", "0.5 / 0.5", "none, [0, 1]", "none, [0, 255]"
    ]  # fmt: skip
    assert "the data's own" not in names(candidates(GRAY, (0.1, 0.1, 0.1), (0.2, 0.2, 0.2)))
    repeated = next(each for each in candidates(RGB, (0.1,), (0.2,)) if each.name == "the data's own")
    assert repeated.mean == (0.1,) * 3


def test_under_another_normalisation() -> None:
    model = Classifier(nn.Flatten(), RGB)
    pixels = torch.rand(2, 3, 4, 4)
    expected = (pixels - torch.tensor(CIFAR[0]).view(1, 3, 1, 1)) / torch.tensor(CIFAR[1]).view(1, 3, 1, 1)
    torch.testing.assert_close(under(model, Candidate("x", *CIFAR))(pixels), expected.flatten(1))
    torch.testing.assert_close(under(model, Candidate("x", *CIFAR, bgr=True))(pixels), expected.flip(1).flatten(1))
    assert model.card == RGB  # the model itself is as before


def answers(right: int, n: int = 200) -> np.ndarray:
    """Logits of two classes for labels 0: the first ``right`` ones are right, a little or surely."""
    return np.where((np.arange(n) < right)[:, None], [2.0, 0], [0, 2.0])


def test_compare_finds_the_better_one() -> None:
    labels = np.zeros(200, np.int64)
    rows = compare(["card", "a", "b", "c"], [answers(150), answers(190), answers(152), answers(90)], labels)
    assert [row.top1 for row in rows] == [0.75, 0.95, 0.76, 0.45]
    best = better(rows)
    assert best is not None
    assert best.name == "a"
    assert alike(rows) == ["b"]
    assert better([rows[0], *rows[2:]]) is None
    # log(1 + e^-2), and 2 more for the wrong ones; at the best temperature the entropy of 3 : 1.
    assert rows[0].nll == pytest.approx(np.log1p(np.exp(-2)) + 0.25 * 2)
    assert rows[0].nll_scaled == pytest.approx(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))


def test_answers_that_are_not_finite() -> None:
    z = answers(150)
    z[0] = np.nan
    rows = compare(["card", "a"], [answers(150), z], np.zeros(200, np.int64))
    assert rows[1].nll is None
    assert rows[1].nll_scaled is None
    assert rows[1].top1 == 149 / 200
    z[1] = np.inf
    assert len(finite(z, "x")) == 198
    assert calibrate(z, np.zeros(200, np.int64)) == calibrate(z[2:], np.zeros(198, np.int64))
    with pytest.raises(ExunoError, match="no answer of the teacher to the images of digits is finite"):
        finite(np.full((3, 2), np.nan), "the images of digits")


def test_constant_answers() -> None:
    one = np.random.default_rng(0).normal(0, 3, (1, 5)).astype(np.float32)
    same = np.repeat(one, 50, 0)
    assert constant(same)
    assert constant(same + np.arange(50, dtype=np.float32)[:, None])  # of which softmax sees nothing
    assert constant(np.zeros((50, 5)))
    assert constant(np.concatenate([same, np.full((1, 5), np.nan)]))
    assert not constant(one)
    same[7, 2] += 0.01
    assert not constant(same)


@pytest.mark.parametrize(("scale", "verdict"), [(4.0, "over"), (0.2, "under"), (np.log(3) / 2, "fair")])
def test_calibrate(scale: float, verdict: str) -> None:
    found = calibrate(answers(150) * scale, np.zeros(200, np.int64))
    assert found is not None
    assert found.verdict == verdict
    assert found.best.temperature == pytest.approx(2 * scale / np.log(3), rel=1e-4)  # 3 of 4 are right
    assert found.ece_scaled == pytest.approx(0, abs=1e-4)
    assert found.ece == pytest.approx(abs(found.excess))
