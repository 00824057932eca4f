"""Learning rates against values worked out by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exuno.engine.method import TrainState, learning_rate
from exuno.engine.options import Optim


def rates(optim: Optim, total: int = 100) -> list[float]:
    rate = learning_rate(optim)
    return [rate(TrainState(step, total, 10)) for step in range(total)]


def test_cosine_starts_at_the_peak_and_ends_near_zero() -> None:
    found = rates(Optim(lr=2.0, schedule="cosine"))
    assert found[0] == 2.0
    assert found[50] == pytest.approx(1.0)
    assert found[99] == pytest.approx(1 + math.cos(math.pi * 0.99))


def test_steps_fall_at_their_milestones() -> None:
    found = rates(Optim(lr=1.0, schedule="step", milestones=(0.3, 0.6), gamma=0.1))
    assert found[29] == 1.0
    assert found[30] == pytest.approx(0.1)
    assert found[60] == pytest.approx(0.01)


def test_warmup_rises_linearly_then_hands_over() -> None:
    found = rates(Optim(lr=1.0, schedule="constant", warmup=0.1))
    assert found[:10] == pytest.approx([(i + 1) / 11 for i in range(10)])
    assert found[10:] == [1.0] * 90


@given(st.sampled_from(["constant", "cosine", "step"]), st.floats(0, 0.9), st.integers(1, 300))
def test_a_rate_is_never_negative_nor_above_the_peak(name: str, warmup: float, total: int) -> None:
    found = rates(Optim(lr=0.5, schedule=name, warmup=warmup), total)  # pyright: ignore[reportArgumentType]
    assert all(0 <= rate <= 0.5 for rate in found)


@given(st.integers(2, 50))
def test_a_budget_keeps_the_shape(factor: int) -> None:
    long, short = (learning_rate(Optim(schedule="cosine", warmup=0.1)) for _ in range(2))
    at = [0.25, 0.5, 0.75]
    a = [long(TrainState(int(f * 400 * factor), 400 * factor, 1)) for f in at]
    b = [short(TrainState(int(f * 400), 400, 1)) for f in at]
    assert a == pytest.approx(b, rel=0.02)
