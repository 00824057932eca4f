"""Videos are answered by the mean of the probabilities of their clips."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exuno.cli import main
from exuno.data.base import ArrayData
from exuno.engine.session import Subset
from exuno.evaluate.eval import check_flags
from exuno.evaluate.measure import GALLERY, record, scores
from exuno.evaluate.options import EvalConfig


class Table(nn.Module):
    """Answers a clip of the gray level k / 255 by row k of a table."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.rows = rows

    def forward(self, clips: Tensor) -> Tensor:
        return self.rows[clips[:, 0, 0, 0, 0].mul(255).round().long()]


def clips(labels: list[int], groups: list[int]) -> ArrayData:
    pixels = np.arange(len(labels), dtype=np.uint8)[:, None, None, None, None].repeat(2, 2)
    data = ArrayData("clips", pixels, np.array(labels), ("a", "b"))
    data.groups = np.array(groups)
    return data


def test_groups() -> None:
    # Two clips say b a little, the third a with certainty: the mean of 3 probabilities of a is (0.4 + 0.4 + 1) / 3.
    rows = torch.tensor([[0.4, 0.6], [0.4, 0.6], [1.0, 1e-9], [0.2, 0.8]]).log()
    rows[3] += 100  # as sure as before
    model: Any = Table(rows)
    summary, logits = record(None, "model", model, clips([0, 0, 0, 1], [0, 0, 0, 1]), (1, 1), torch.device("cpu"))
    np.testing.assert_allclose(np.exp(logits), [[0.6, 0.4], [0.2, 0.8]], atol=1e-6)
    assert (summary["n"], summary["top1"], summary.get("clip_top1")) == (2, 1.0, 0.5)
    assert scores("model", summary)["model/clip_top1"] == 0.5


def test_a_clip_without_an_answer_leaves_its_video_without_one() -> None:
    rows = torch.tensor([[0.0, 1], [0, float("nan")], [1, 0]])
    model: Any = Table(rows)
    summary, _ = record(None, "model", model, clips([1, 1, 0], [0, 0, 1]), (1, 1), torch.device("cpu"))
    assert (summary["n"], summary["invalid"], summary["top1"]) == (2, 1, 0.5)
    assert summary.get("clip_top1") == pytest.approx(2 / 3)


def test_a_smoke_run_counts_the_groups_that_it_has() -> None:
    head = Subset(clips([0, 0, 1, 1, 0, 0], [0, 0, 1, 1, 2, 2]), limit=2)
    assert head.groups.tolist() == [0, 1]
    assert head.fetch(np.arange(2))[1].tolist() == [0, 1]


def images(labels: np.ndarray) -> ArrayData:
    """One image a label, its number as gray level in two digits."""
    number = np.arange(len(labels))
    pixels = np.stack([number // 256, number % 256], 1).astype(np.uint8).reshape(-1, 1, 1, 2)
    return ArrayData("images", pixels, labels, tuple("abcde"))


class Lookup(nn.Module):
    """Answers image number k by ``answers[k]``."""

    def __init__(self, answers: np.ndarray) -> None:
        super().__init__()
        self.answers = torch.from_numpy(answers)

    def forward(self, pixels: Tensor) -> Tensor:
        numbers = pixels.mul(255).round().long().flatten(1) @ torch.tensor([256, 1])
        return nn.functional.one_hot(self.answers[numbers], 5).float() * 5


@pytest.mark.parametrize("wrong", [[], [3, 17, 352], [*range(100, 200)], [*range(355)]])
def test_the_mistakes_are_kept_wherever_they_are(wrong: list[int], tmp_path: Path) -> None:
    labels = np.arange(355) * 5 // 355  # sorted by class
    answers = labels.copy()
    answers[wrong] = (labels[wrong] + 1) % 5
    model: Any = Lookup(answers)
    record(tmp_path, "model", model, images(labels), (1, 2), torch.device("cpu"))
    with np.load(tmp_path / "model.npz") as file:
        index, kept = file["index"], file["images"]
    assert len(index) == GALLERY == len(set(index.tolist()))
    found = set(index.tolist()) & set(wrong)
    assert len(found) == {0: 0, 3: 3, 100: GALLERY // 2, 355: GALLERY}[len(wrong)]
    right = [place for place in index.tolist() if place not in wrong]
    assert {int(labels[place]) for place in right} == (set(range(5)) if right else set())
    assert (kept.reshape(-1, 2) @ np.array([256, 1]) == index).all()  # each image is that of its place


def test_images_of_videos_are_those_of_their_places(tmp_path: Path) -> None:
    rows = torch.tensor([[0.4, 0.6], [0.4, 0.6], [1.0, 1e-9], [0.2, 0.8]]).log()
    model: Any = Table(rows)
    record(tmp_path, "model", model, clips([0, 0, 0, 1], [0, 0, 0, 1]), (1, 1), torch.device("cpu"))
    with np.load(tmp_path / "model.npz") as file:
        assert file["index"].tolist() == [0, 1]
        assert file["images"][:, 0, 0, 0, 0].tolist() == [0, 3]


def test_nothing_is_kept_where_no_image_may_be(tmp_path: Path) -> None:
    model: Any = Lookup(np.zeros(10, np.int64))
    record(tmp_path, "model", model, images(np.arange(10) % 5), (1, 2), torch.device("cpu"), images=False)
    with np.load(tmp_path / "model.npz") as file:
        assert set(file.files) == {"logits", "labels", "class_names"}


class Left(nn.Module):
    """Logits [B, 2] of the leftmost and the rightmost column."""

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.stack([pixels[:, 0, 0, 0], 3 * pixels[:, 0, 0, -1]], 1)


def test_flip_answers_by_the_mean_of_an_image_and_its_mirror_image() -> None:
    pixels = np.array([[[0, 51]], [[255, 0]]], np.uint8)[:, None]
    data = ArrayData("images", pixels, np.array([1, 1]), ("a", "b"))
    found = [record(None, "model", Left(), data, (1, 2), torch.device("cpu"), flip=flip)[1] for flip in (False, True)]  # pyright: ignore
    np.testing.assert_allclose(found[0], [[0, 0.6], [1, 0]], atol=1e-6)
    np.testing.assert_allclose(found[1], [[0.1, 0.3], [0.5, 1.5]], atol=1e-6)


def test_flip_is_for_pictures_of_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "poster:nowhere", "--tta", "flip"]) == 2
    assert "--tta says nothing about poster:nowhere, which is a poster" in " ".join(capsys.readouterr().err.split())


def test_a_seed_may_be_given_of_any_model() -> None:
    """A study gives its seed, also as an axis, to every stage that has the option: ``teach``, then ``eval {teach}``."""
    check_flags(EvalConfig("run:nowhere", "digits", seed=3))
    check_flags(EvalConfig("poster:nowhere", seed=3))
