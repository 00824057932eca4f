"""What ``exuno poster --dry-run`` times on a GPU is an outer step of the whole configuration, not of the sliver that it
checks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from exuno.cli import main
from exuno.engine.method import Method
from exuno.engine.probe import enlarged, samples_per_second
from exuno.poster.method import Distiller

LINE = "poster digits --canvas 12x10 --patch 6 --unroll.window 3 --unroll.total 5 --steps 7 --batch-size 40 --dry-run"


@pytest.mark.parametrize("algorithm", ["rat-bptt", "gm"])
def test_an_outer_step_is_timed(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[float] = []

    def timed(make: Callable[[], Method], batches: Any, samples: float, config: Any, accelerator: Any) -> None:
        method = make()
        assert isinstance(method, Distiller)
        unroll = method.context.unroll
        assert (unroll.window, unroll.total, samples, config.batch_size) == (3, 5, 7 * 40, 40)
        batch = enlarged(batches.first(), config.batch_size)
        found.append(samples_per_second(method, batch, config.optim, config.run, accelerator, 0.0))

    monkeypatch.setattr("exuno.poster.train.tell_cost", timed)
    assert main([*LINE.split(), "--algorithm", algorithm, "--devices", "cpu"]) == 0
    [rate] = found
    assert rate > 0


def test_what_is_timed_has_the_channels_of_the_poster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read in colours; a poster of gray ones has one channel."""
    for part, label, i in ((part, label, i) for part in ("train", "test") for label in "ab" for i in range(6)):
        (tmp_path / part / label).mkdir(parents=True, exist_ok=True)
        gray = np.random.default_rng(i).integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(gray).save(tmp_path / part / label / f"{i}.png")
    found: list[tuple[int, int]] = []

    def timed(make: Callable[[], Method], *_: Any) -> None:
        method = make()
        assert isinstance(method, Distiller)
        weights = next(iter(method.context.fresh(0).parameters()))
        found.append((len(method.pixels), weights.shape[1]))

    monkeypatch.setattr("exuno.poster.train.tell_cost", timed)
    line = "poster --size 8 --model exuno:convnet_2_16 --patch 6 --canvas 12x10 --dry-run --devices cpu"
    assert main([*line.split(), "--data", f"folder:{tmp_path}"]) == 0
    assert found == [(1, 1)]


def test_experts_are_not_trained_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exuno.poster.train.tell_cost", lambda *given: pytest.fail("it was timed"))
    assert main([*LINE.split(), "--algorithm", "mtt", "--devices", "cpu"]) == 0
