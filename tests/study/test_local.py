"""Worker processes: what they print, how they fail, and what happens when they die."""

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from exuno.engine.stop import INTERRUPTED, REQUEUE
from exuno.study.local import Local, Need, room
from exuno.study.worker import Job, last_words, run_cell

NEED = Need(processes=1, threads=1, on_cpu=True)


@pytest.fixture
def launcher():
    made = Local(2, NEED)
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
    assert "teach has no option --epoch-count" in reasons["b"]
    assert "has no option" in (tmp_path / "logs/b.log").read_text()


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
    launcher = Local(1, NEED)
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


@pytest.mark.parametrize(
    ("ending", "unfinished"),
    [
        (SystemExit(REQUEUE), True),
        (SystemExit(INTERRUPTED), True),
        (KeyboardInterrupt(), True),
        (SystemExit(1), False),
    ],
)
def test_a_command_that_was_told_to_stop_is_unfinished(tmp_path, monkeypatch, ending, unfinished):
    def end(args: list[str]) -> None:
        raise ending

    monkeypatch.setattr("exuno.verbs.run_verb", end)
    outcome = run_cell(job(tmp_path, "a", "teach", "digits"))
    assert outcome.unfinished == outcome.broken == unfinished
    assert outcome.reason


def test_closing_ends_workers_that_are_busy(tmp_path):
    launcher = Local(1, NEED)
    launcher.submit(job(tmp_path, "a", "teach", "digits", "--run-dir", str(tmp_path / "run")))
    [pid] = running(launcher)
    launcher.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not (tmp_path / "run/result.json").exists()


def test_processes_that_a_dead_worker_had_started_are_ended(tmp_path):
    launcher = Local(1, NEED)
    try:
        args = ("teach", "digits", "--epochs", "40", "--devices", "cpu:2", "--run-dir", str(tmp_path / "run"))
        launcher.submit(Job("a", args, str(tmp_path / "a.log")))
        [worker] = running(launcher)
        deadline = time.monotonic() + 60
        while len(group := members(worker)) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(group) == 3
        os.kill(worker, signal.SIGKILL)
        launcher.submit = lambda one: None  # type: ignore[method-assign]
        launcher.deaths["a"] = 1
        assert "died" in finish(launcher, 1)["a"]
        time.sleep(0.2)
        assert members(worker) == []
    finally:
        launcher.close()


def members(group: int) -> list[int]:
    """The living processes of a process group."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _, pgrp = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(pgrp) == group and state != "Z":
                found.append(int(folder.name))
    return found


def test_a_cell_with_an_unforeseen_error_is_the_last_of_its_worker(launcher, tmp_path):
    (tmp_path / "full").write_text("")  # a file where the log's folder should be
    launcher.submit(Job("a", ("presets", "list"), str(tmp_path / "full" / "a.log")))
    [first] = running(launcher)
    assert "Error: " in finish(launcher, 1)["a"]
    launcher.submit(job(tmp_path, "b", "presets", "list", "teach"))
    assert running(launcher) != [first]
    assert finish(launcher, 1) == {"b": ""}


def test_an_idle_worker_that_died_is_no_death_of_the_next_cell(launcher, tmp_path):
    launcher.submit(job(tmp_path, "a", "presets", "list", "teach"))
    [first] = running(launcher)
    finish(launcher, 1)
    os.kill(first, signal.SIGKILL)
    time.sleep(0.1)
    launcher.submit(job(tmp_path, "b", "presets", "list", "teach"))
    assert finish(launcher, 1) == {"b": ""}
    assert launcher.deaths == {}


def test_last_words():
    assert last_words("study: 3 %\nexuno: the loss became nan\n       Lower it.\n") == "the loss became nan Lower it."
    assert last_words("╭─ Parsing error ─╮\n│ Wrong: --x │\n│ ─── │\n╰──╯") == "Wrong: --x"
    assert last_words("one\ntwo\n\n") == "two"
    assert last_words("") == "it said nothing"


def test_room(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr("exuno.study.local.gpus", lambda: 0)
    rooms = [room(Need(processes, threads, False)) for processes, threads in ((1, 1), (1, 3), (2, 2), (4, 16))]
    assert rooms == [8, 2, 2, 1]
    monkeypatch.setattr("exuno.study.local.gpus", lambda: 4)
    assert [room(Need(processes, 1, False)) for processes in (1, 2, 3, 8)] == [4, 2, 1, 1]
    assert room(Need(1, 1, True)) == 8


def test_workers_share_the_gpus(monkeypatch, tmp_path):
    monkeypatch.setattr("exuno.study.local.gpus", lambda: 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3,5,7")
    seen = []
    monkeypatch.setattr("subprocess.Popen", lambda *args, env, **rest: seen.append(env["CUDA_VISIBLE_DEVICES"]))
    launcher = Local(2, Need(processes=2, threads=1, on_cpu=False))
    launcher._start()
    launcher._start()
    assert seen == ["2,3", "5,7"]
