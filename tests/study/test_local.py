"""Worker processes: what they print, how they fail, and what happens when they die."""

import os
import signal
from pathlib import Path

import pytest

from exuno.study.local import Local, gpus, room
from exuno.study.worker import Job


@pytest.fixture
def launcher():
    made = Local(2, 1, True)
    yield made
    made.close()


def job(tmp_path: Path, name: str, *args: str) -> Job:
    return Job(name, args, str(tmp_path / "logs" / f"{name}.log"))


def running(launcher: Local) -> list[int]:
    return [key.data[1].pid for key in launcher.select.get_map().values()]


def finish(launcher: Local, count: int):
    found = []
    while len(found) < count:
        found += launcher.wait()
    return {one.name: one.reason for one in found}


def test_jobs_are_carried_out_and_what_they_print_is_kept(launcher, tmp_path):
    launcher.submit(job(tmp_path, "a", "presets", "list", "teach"))
    launcher.submit(job(tmp_path, "b", "presets", "show", "teach", "digits"))
    assert finish(launcher, 2) == {"a": "", "b": ""}
    assert "cifar10-wrn40_4" in (tmp_path / "logs/a.log").read_text()
    assert "verb: teach" in (tmp_path / "logs/b.log").read_text()


def test_a_mistake_comes_back_in_its_own_words(launcher, tmp_path):
    launcher.submit(job(tmp_path, "a", "presets", "show", "teach", "digit"))
    launcher.submit(job(tmp_path, "b", "teach", "digits", "--epoch-count", "3"))
    reasons = finish(launcher, 2)
    assert "'digit' is no preset of teach" in reasons["a"]
    assert "Did you mean 'digits'?" in reasons["a"]
    assert "Unrecognized options: --epoch-count, 3" in reasons["b"]
    assert "Unrecognized options" in (tmp_path / "logs/b.log").read_text()


def test_one_worker_serves_many_jobs(launcher, tmp_path):
    for number in range(3):
        launcher.submit(job(tmp_path, str(number), "presets", "list", "teach"))
        assert finish(launcher, 1) == {str(number): ""}
    assert len(launcher.idle) == 1


def test_a_worker_that_dies_is_replaced_once(launcher, tmp_path):
    launcher.submit(job(tmp_path, "a", "presets", "list", "teach"))
    [first] = running(launcher)
    os.kill(first, signal.SIGKILL)
    assert finish(launcher, 1) == {"a": ""}


def test_a_cell_that_kills_its_workers_is_given_up(tmp_path):
    launcher = Local(1, 1, True)
    try:
        launcher.submit(job(tmp_path, "a", "presets", "list", "teach"))
        submit = launcher.submit

        def submit_and_kill(one: Job) -> None:
            submit(one)
            for pid in running(launcher):
                os.kill(pid, signal.SIGKILL)

        launcher.submit = submit_and_kill  # type: ignore[method-assign]
        os.kill(running(launcher)[0], signal.SIGKILL)
        reasons = finish(launcher, 1)
        assert "died 2 times (SIGKILL)" in reasons["a"]
        launcher.submit = submit  # type: ignore[method-assign]
        launcher.submit(job(tmp_path, "b", "presets", "list", "teach"))
        assert finish(launcher, 1) == {"b": ""}
    finally:
        launcher.close()


def test_closing_ends_workers_that_are_busy(tmp_path):
    launcher = Local(1, 1, True)
    launcher.submit(job(tmp_path, "a", "teach", "digits", "--run-dir", str(tmp_path / "run")))
    [pid] = running(launcher)
    launcher.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not (tmp_path / "run/result.json").exists()


def test_room(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus() == 0
    assert (room(1, False), room(3, False), room(16, False)) == (8, 2, 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert gpus() == 2
    assert (room(1, False), room(1, True)) == (2, 8)
