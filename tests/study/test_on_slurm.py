"""Cells as jobs of Slurm: submitit's own processes in its place, a pretended sbatch, and jobs that are lost."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from exuno.engine.errors import ExunoError
from exuno.engine.stop import REQUEUE
from exuno.study import on_slurm
from exuno.study.local import Need
from exuno.study.on_slurm import TRIES, OnSlurm, Task
from exuno.study.worker import STOPPED, Job, Outcome

pytest.importorskip("submitit", reason="submitit is not installed")

NEED = Need(processes=1, threads=1, on_cpu=True)


def job(tmp_path: Path, name: str, *args: str) -> Job:
    return Job(name, args, str(tmp_path / f"{name}.log"))


def local(tmp_path: Path, slots: int = 1, need: Need = NEED) -> OnSlurm:
    return OnSlurm("local", slots, need, tmp_path / "slurm", 10)


def test_jobs_are_carried_out_and_mistakes_come_back(tmp_path: Path) -> None:
    launcher = local(tmp_path, 2)
    try:
        launcher.submit(job(tmp_path, "good", "presets", "list", "teach"))
        launcher.submit(job(tmp_path, "bad", "presets", "show", "teach", "digit"))
        found: list[Outcome] = []
        while len(found) < 2:
            found += launcher.wait()
    finally:
        launcher.close()
    reasons = {one.name: one.reason for one in found}
    assert reasons["good"] == ""
    assert "'digit' is no preset of teach" in reasons["bad"]
    assert "cifar10-wrn40_4" in (tmp_path / "good.log").read_text()


class Sent:
    """A job whose fate is known."""

    def __init__(self, state: str, outcome: Outcome | None = None) -> None:
        self.state, self.outcome, self.cancelled = state, outcome, False
        self.paths = type("Paths", (), {"stderr": "its.err"})

    def done(self) -> bool:
        return self.state not in ("RUNNING", "PREEMPTED")

    def exception(self) -> Exception | None:
        return None if self.outcome else RuntimeError("no result")

    def result(self) -> Outcome | None:
        return self.outcome

    def cancel(self, check: bool) -> None:
        self.cancelled = True

    def wait(self) -> None:
        pass


def fated(launcher: OnSlurm, *fates: Sent) -> list[Any]:
    """What was submitted; each gets the next fate."""
    left, seen = list(fates), []

    class Executor:
        def submit(self, *args: Any) -> Sent:
            seen.append((args, os.environ["OMP_NUM_THREADS"]))
            return left.pop(0)

    launcher.executor = Executor()
    return seen


DONE = Outcome("a", "", 1.0)


def test_a_job_that_was_lost_is_tried_again(tmp_path: Path) -> None:
    launcher = local(tmp_path, need=Need(1, 3, True))
    seen = fated(launcher, Sent("NODE_FAIL"), Sent("CANCELLED by 0"), Sent("COMPLETED", DONE))
    launcher.submit(job(tmp_path, "a"))
    assert launcher.wait() == [DONE]
    assert [threads for _, threads in seen] == ["3"] * 3
    assert [args[1].name for args, _ in seen] == ["a"] * 3


@pytest.mark.parametrize(("state", "unfinished"), [("OUT_OF_MEMORY", False), ("CANCELLED by 1000", True)])
def test_a_job_that_is_lost_every_time_is_given_up(tmp_path: Path, state: str, unfinished: bool) -> None:
    launcher = local(tmp_path)
    seen = fated(launcher, *(Sent(state) for _ in range(TRIES)))
    launcher.submit(job(tmp_path, "a"))
    [outcome] = launcher.wait()
    assert outcome.unfinished == unfinished
    assert len(seen) == TRIES
    if not unfinished:
        assert outcome.reason == f"its job was lost {TRIES} times (last: {state}); see its.err"


def test_a_preempted_job_waits_for_slurm_and_then_is_sent_again(tmp_path: Path, monkeypatch: Any) -> None:
    launcher, now = local(tmp_path), [0.0]
    monkeypatch.setattr(on_slurm.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(on_slurm.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + 100))
    seen = fated(launcher, Sent("PREEMPTED"), Sent("COMPLETED", DONE))
    launcher.submit(job(tmp_path, "a"))
    assert launcher.wait() == [DONE]
    assert len(seen) == 2
    assert now[0] > on_slurm.TAKEN


def test_closing_cancels_what_runs(tmp_path: Path) -> None:
    launcher, sent = local(tmp_path), Sent("RUNNING")
    fated(launcher, sent)
    launcher.submit(job(tmp_path, "a"))
    launcher.close()
    assert sent.cancelled


@pytest.mark.parametrize(("number", "again"), [(signal.SIGUSR2, True), (signal.SIGTERM, False)])
def test_a_cell_that_is_told_to_stop_is_queued_again_where_its_time_is_over(
    tmp_path: Path, monkeypatch: Any, number: int, again: bool
) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: heard.append(number))
    monkeypatch.setattr("exuno.verbs.run_verb", lambda args: os.kill(os.getpid(), number))
    try:
        with pytest.raises(SystemExit) as ended:
            Task()(job(tmp_path, "a", "teach", "digits"), str(tmp_path))
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert ended.value.code == REQUEUE
    assert heard == ([signal.SIGUSR2] if again else [])
    assert STOPPED in (tmp_path / "a.log").read_text()


def script(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_a_job_of_slurm_asks_for_what_a_cell_needs(tmp_path: Path, monkeypatch: Any) -> None:
    script(tmp_path / "bin", "srun", "exit 0")
    script(tmp_path / "bin", "sbatch", f'cp "$1" {tmp_path}/sent; echo "Submitted batch job 17"')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    launcher = OnSlurm("big", 0, Need(processes=2, threads=4, on_cpu=False), tmp_path / "slurm", 90)
    launcher.submit(job(tmp_path, "a"))
    assert launcher.slots > 1000
    sent = (tmp_path / "sent").read_text()
    for line in ("partition=big", "cpus-per-task=8", "gpus-per-node=2", "time=90", "signal=USR2@120"):
        assert f"#SBATCH --{line}\n" in sent
    launcher = OnSlurm("auto", 3, NEED, tmp_path / "slurm", 90)
    launcher.submit(job(tmp_path, "a"))
    assert launcher.slots == 3
    sent = (tmp_path / "sent").read_text()
    assert "partition" not in sent
    assert "gpus" not in sent
    script(tmp_path / "bin", "sbatch", "echo sbatch: error: invalid partition specified: big >&2; exit 1")
    with pytest.raises(ExunoError, match=r"Slurm has refused a job: .*invalid partition"):
        launcher.submit(job(tmp_path, "b"))


def test_without_slurm_or_submitit_it_says_so(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExunoError, match="there is no Slurm on this machine"):
        OnSlurm("auto", 0, NEED, tmp_path / "slurm", 90)
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ExunoError, match=r"--slurm needs the package submitit. pip install 'exuno\[slurm\]'"):
        local(tmp_path)
