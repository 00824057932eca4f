"""Videos are answered by the mean of the probabilities of their clips."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exuno.data.base import ArrayData
from exuno.engine.session import Head
from exuno.evaluate.measure import record, scores


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
    head = Head(clips([0, 0, 1, 1, 0, 0], [0, 0, 1, 1, 2, 2]), limit=2)
    assert head.groups.tolist() == [0, 1]
    assert head.fetch(np.arange(2))[1].tolist() == [0, 1]
