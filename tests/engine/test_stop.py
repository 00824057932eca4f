"""SIGTERM, SIGUSR1 and Ctrl-C: when they end a process, and how."""

import multiprocessing
import os
import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from test_loop import Toy, lines, train

from exuno.cli import main
from exuno.engine import stop
from exuno.engine.ballot import Ballot, Wishes
from exuno.engine.method import Batch, Numbers, StepOutput
from exuno.engine.stop import REQUEUE, Stopped, deferred, listening, told


def signalled(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0.01)  # it is heard between two instructions


class Signalled(Toy):
    """Gets a signal in the middle of a step."""

    def __init__(self, step: int, number: int = signal.SIGTERM) -> None:
        super().__init__()
        self.step, self.number = step, number

    def forward(self, batch: Batch, numbers: Numbers) -> StepOutput:
        if int(numbers["step"]) == self.step:
            signalled(self.number)
        return super().forward(batch, numbers)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
@pytest.mark.parametrize("step", [0, 6, 19])
def test_a_training_finishes_its_step_and_goes_on_from_it(
    tmp_path: Path, step: int, number: int, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = train(tmp_path / "whole", Toy())
    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else Stopped), listening():
        train(tmp_path / "cut", Signalled(step, number))
    assert f"step-{step + 1:09d}.pt" in [path.name for path in (tmp_path / "cut/checkpoints").iterdir()]
    again = Toy()
    assert torch.equal(train(tmp_path / "cut", again), whole)
    assert [at for at, _ in again.seen] == list(range(step + 1, 20))
    assert lines(tmp_path / "cut") == lines(tmp_path / "whole")
    assert ("Ctrl-C once more stops at once" in capfd.readouterr().err) == (number == signal.SIGINT)


def test_outside_a_training_a_signal_ends_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Stopped) as ended, listening():
        signalled(signal.SIGUSR1)
    assert ended.value.code == REQUEUE == 75
    said = "exuno: told to stop by SIGUSR1; the same command continues from the last checkpoint.\n"
    assert capsys.readouterr().err == said


def test_outside_a_training_ctrl_c_is_python_s() -> None:
    with listening():
        with pytest.raises(KeyboardInterrupt):
            signalled(signal.SIGINT)
        with deferred():  # what caught it goes on
            assert not told()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGTERM, Stopped), (signal.SIGINT, KeyboardInterrupt)])
def test_ctrl_c_ends_at_once_whom_a_cluster_has_told(
    number: int, kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop, "ECHO", 0.0)
    reached: list[int] = []

    def hear() -> None:
        with listening(), deferred():
            signalled(signal.SIGTERM)
            reached.append(1)
            signalled(number)
            reached.append(2)

    with pytest.raises(kind):
        hear()
    assert reached == [1]


def test_a_second_signal_ends_at_once_but_an_echo_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    reached: list[str] = []

    def hear() -> None:
        with listening(), deferred():
            signalled()
            signalled()
            reached.append("both" if told() else "neither")
            monkeypatch.setattr(stop, "ECHO", 0.0)
            signalled()
            reached.append("the second as well")

    with pytest.raises(Stopped):
        hear()
    assert reached == ["both"]


def test_what_was_deferred_is_not_forgotten() -> None:
    with pytest.raises(Stopped), listening(), deferred():
        signalled()


def test_handlers_are_put_back_and_those_of_others_stay() -> None:
    heard: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    try:
        with listening():
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
            signalled(signal.SIGUSR1)
        assert heard == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert not told()


def test_the_command_line_ends_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exuno.cli.run_verb", lambda args: signalled())
    assert main(["teach", "digits"]) == REQUEUE


def vote(rank: int, store: str) -> list[Wishes]:
    """What a process of two hears."""
    where, patience = f"file://{store}", timedelta(seconds=240)
    torch.distributed.init_process_group("gloo", init_method=where, rank=rank, world_size=2, timeout=patience)
    try:
        ballot = Ballot(2)
        heard = [ballot(Wishes(save=step == rank or step == 4, stop=rank == 1 and step >= 2)) for step in range(5)]
        ballot.annul()  # of the fifth vote the wish to save, and not the one to stop
        return [*heard, ballot(Wishes(save=False, stop=False))]
    finally:
        torch.distributed.destroy_process_group()


def vote_and_tell(rank: int, store: str, answers: Any) -> None:
    answers.put(vote(rank, store))


def test_processes_agree_on_the_step_after_which_they_stop(tmp_path: Path) -> None:
    """This process and another."""
    context, store = multiprocessing.get_context("spawn"), str(tmp_path / "store")
    answers = context.SimpleQueue()
    other = context.Process(target=vote_and_tell, args=(1, store, answers))
    other.start()
    try:
        mine = vote(0, store)
        theirs = answers.get()
    finally:
        other.kill()
        other.join()
    nothing, save, end = Wishes(save=False, stop=False), Wishes(save=True, stop=False), Wishes(save=False, stop=True)
    assert mine == theirs == [nothing, save, save, end, end, end]
