"""What ``exuno poster --dry-run`` times on a GPU is an outer step of the whole configuration, not of the sliver that it
checks."""

from collections.abc import Callable
from typing import Any

import pytest

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
        batch = enlarged(next(iter(batches.epoch(0))), config.batch_size)
        found.append(samples_per_second(method, batch, config.optim, config.run, accelerator, 0.0))

    monkeypatch.setattr("exuno.poster.train.tell_cost", timed)
    assert main([*LINE.split(), "--algorithm", algorithm, "--devices", "cpu"]) == 0
    [rate] = found
    assert rate > 0


def test_experts_are_not_trained_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exuno.poster.train.tell_cost", lambda *given: pytest.fail("it was timed"))
    assert main([*LINE.split(), "--algorithm", "mtt", "--devices", "cpu"]) == 0
