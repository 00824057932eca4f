"""Order and failures of the cells of a study, with a launcher that only pretends."""

from collections.abc import Callable

import pytest

from exuno.study.grid import Cell
from exuno.study.schedule import run_all
from exuno.study.worker import STOPPED, Job, Outcome


class Pretend:
    """Carries out the oldest job each time it is asked; those in ``bad`` fail."""

    def __init__(self, slots: int, bad: tuple[str, ...] = ()) -> None:
        self.slots, self.bad = slots, bad
        self.queue: list[Job] = []
        self.most, self.closed = 0, False
        self.order: list[str] = []

    def submit(self, job: Job) -> None:
        self.queue.append(job)
        self.most = max(self.most, len(self.queue))

    def wait(self) -> list[Outcome]:
        job = self.queue.pop(0)
        self.order.append(job.name)
        return [Outcome(job.name, "broken" if job.name in self.bad else "", 1.0)]

    def close(self) -> None:
        self.closed = True


def cell(name: str, *needs: str) -> Cell:
    return Cell(name, "teach", "teach", (), {}, needs)


CELLS = [cell("t0"), cell("t1"), cell("a", "t0"), cell("b", "t1"), cell("c", "t1"), cell("d", "c")]


def go(launcher: Pretend, done: dict[str, str] | None = None, told: Callable[..., None] = lambda *_: None):
    return run_all(CELLS, done or {}, lambda: launcher, lambda one: Job(one.name, (), "log"), told)


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_all_run_after_what_they_need(slots):
    launcher = Pretend(slots)
    assert go(launcher) == dict.fromkeys([one.name for one in CELLS], "")
    for one in CELLS:
        assert all(launcher.order.index(name) < launcher.order.index(one.name) for name in one.needs)
    assert launcher.most == min(slots, 3)
    assert launcher.closed


def test_a_failure_costs_only_what_needs_it():
    launcher, told = Pretend(2, ("t1",)), []
    reasons = go(launcher, told=lambda one, outcome: told.append((one.name, bool(outcome.reason))))
    assert reasons["t1"] == "broken"
    assert reasons["b"] == "it needs t1, which has no result"
    assert reasons["d"] == "it needs c, which has no result"
    assert reasons["t0"] == reasons["a"] == ""
    assert launcher.order == ["t0", "t1", "a"]
    assert sorted(told) == [("a", False), ("b", True), ("c", True), ("d", True), ("t0", False), ("t1", True)]


def test_what_is_done_is_not_repeated():
    launcher = Pretend(2)
    go(launcher, {"t1": "", "c": ""})
    assert sorted(launcher.order) == ["a", "b", "d", "t0"]


def test_nothing_is_launched_for_nothing():
    def never() -> Pretend:
        raise AssertionError

    done = dict.fromkeys([one.name for one in CELLS], "")
    assert run_all(CELLS, done, never, lambda one: Job(one.name, (), ""), lambda *_: None) == done


def test_an_interrupt_closes_the_launcher():
    class Interrupted(Pretend):
        def wait(self) -> list[Outcome]:
            raise KeyboardInterrupt

    launcher = Interrupted(1)
    with pytest.raises(KeyboardInterrupt):
        go(launcher)
    assert launcher.closed


def test_a_cell_that_was_told_to_stop_has_not_failed_and_what_needs_it_waits():
    class Stopping(Pretend):
        def wait(self) -> list[Outcome]:
            [outcome] = super().wait()
            return [Outcome(outcome.name, STOPPED, 1.0, True) if outcome.name == "t1" else outcome]

    launcher, told = Stopping(2), []
    assert go(launcher, told=lambda one, outcome: told.append((one.name, outcome.unfinished))) == {"t0": "", "a": ""}
    assert sorted(told) == [("a", False), ("t0", False), ("t1", True)]
