"""Commands that the page starts: followed, cancelled, one at a time. A program of a few lines stands for exuno, but in
the last test."""

import json
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exuno.app.jobs import Job, Jobs, Progress
from exuno.engine.errors import ExunoError
from exuno.engine.progress import ProgressBar

Stub = Callable[[str], None]


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    """``stub(code)``: from now on that is what a job runs, in the place of Python with exuno."""
    python = sys.executable

    def write(code: str) -> None:
        path = tmp_path / "exuno-stub"
        path.write_text(f"#!{python}\nimport os, signal, sys, time\n{code}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(sys, "executable", str(path))

    return write


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    jobs = Jobs(tmp_path / "out")
    yield jobs
    jobs.close()


def until(there: Callable[[], object], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.01)


WAITS = "print('ready', flush=True); time.sleep(600)"
OBEYS = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(75)); " + WAITS


def begun(jobs: Jobs, *args: str) -> Job:
    """A job that has said that it is ready."""
    job = jobs.start("photo", args or ("distill", "digits"))
    until(lambda: "ready" in job.said())
    return job


def test_a_command_is_followed_to_its_end(jobs: Jobs, stub: Stub) -> None:
    stub("print(sys.argv[1:]); print('distill: 40 %  1,200 samples/s  loss 0.1  0:20 left  0.7 GB', file=sys.stderr)")
    job = jobs.start("photo", ("distill", "digits", "--source", "my photo.jpg"))
    until(lambda: not job.active)
    assert job.state == "done"
    assert job.command == f"exuno distill digits --source 'my photo.jpg' --run-dir {job.folder}"
    assert str(["-m", "exuno", *job.args]) in job.said()
    assert job.progress() == Progress("distill", 40, "1,200 samples/s · loss 0.1 · 0:20 left · 0.7 GB")


def test_progress_is_what_the_bar_of_a_command_prints(
    jobs: Jobs, stub: Stub, capsys: pytest.CaptureFixture[str]
) -> None:
    with ProgressBar("teach", 200, "samples") as bar:
        bar.advance(200, "loss 0.5")
    stub(f"print({capsys.readouterr().err!r}); print('and more')")
    job = jobs.start("photo", ("teach",))
    until(lambda: not job.active)
    found = job.progress()
    assert found
    assert (found.title, found.percent) == ("teach", 100)
    assert "loss 0.5 · took 0:00" in found.text


def test_before_the_first_line_nothing_is_known(jobs: Jobs, stub: Stub) -> None:
    stub(WAITS)
    job = begun(jobs)
    assert (job.state, job.progress()) == ("running", None)


@pytest.mark.parametrize("code", [OBEYS, WAITS], ids=["with a checkpoint", "before it listens"])
def test_told_to_stop_it_stops(jobs: Jobs, stub: Stub, code: str) -> None:
    stub(code)
    job = begun(jobs)
    job.cancel()
    until(lambda: not job.active)
    assert job.state == "stopped"
    job.cancel()  # of what has ended does nothing
    assert job.state == "stopped"


def test_while_it_writes_its_checkpoint_it_is_stopping(jobs: Jobs, stub: Stub) -> None:
    stub("signal.signal(signal.SIGTERM, lambda *_: None); print('ready', flush=True); time.sleep(1); time.sleep(600)")
    job = begun(jobs)
    job.cancel()
    assert job.state == "stopping"
    with pytest.raises(ExunoError, match="a command is running"):
        jobs.start("photo", ("distill",))
    job.process.kill()


def test_one_at_a_time(jobs: Jobs, stub: Stub) -> None:
    stub(OBEYS)
    job = begun(jobs)
    with pytest.raises(ExunoError, match=r"a command is running: exuno distill digits .* cancel it first"):
        jobs.start("poster", ("poster", "digits"))
    job.cancel()
    until(lambda: not job.active)
    stub("")
    other = jobs.start("poster", ("poster", "digits"))
    until(lambda: not other.active)
    assert (jobs.begun["photo"].state, jobs.begun["poster"].state) == ("stopped", "done")


def test_the_same_words_go_on_in_the_same_folder_and_others_in_another(jobs: Jobs, stub: Stub) -> None:
    stub("")
    folders = []
    for words in (("distill", "a"), ("distill", "a"), ("distill", "b"), ("distill a",)):
        job = jobs.start("photo", words)
        until(lambda job=job: not job.active)
        folders.append(job.folder)
    assert folders[0] == folders[1]
    assert len(set(folders)) == 3


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            "print('exuno: there is no file x.jpg.\\n       Check the path.', file=sys.stderr); sys.exit(2)",
            "There is no file x.jpg. Check the path.",
        ),
        ("raise KeyError('oops')", "This is a bug in exuno, not a mistake of yours (KeyError: 'oops')."),
        ("os.kill(os.getpid(), signal.SIGKILL)", "The command was ended by SIGKILL, as when memory runs out."),
    ],
)
def test_why_it_failed(jobs: Jobs, stub: Stub, code: str, reason: str) -> None:
    stub(code)
    job = jobs.start("photo", ("distill",))
    until(lambda: not job.active)
    assert (job.state, job.reason()) == ("failed", reason)


def test_when_the_page_ends_its_command_is_told_and_waited_for(jobs: Jobs, stub: Stub, tmp_path: Path) -> None:
    mark = tmp_path / "checkpoint"
    stub(f"signal.signal(signal.SIGTERM, lambda *_: (time.sleep(.3), open({str(mark)!r}, 'w'), sys.exit(75)))\n{WAITS}")
    job = begun(jobs)
    jobs.close()
    assert mark.exists()
    assert job.state == "stopped"
    jobs.close()


def test_one_that_does_not_listen_is_ended(jobs: Jobs, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exuno.app.jobs.PATIENCE", 0.2)
    stub(f"signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{WAITS}")
    job = begun(jobs)
    jobs.close()
    assert job.process.returncode == -signal.SIGKILL


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(ExunoError, match="cannot be written"):
        Jobs(tmp_path / "out").start("photo", ("distill",))


def test_a_real_training_stops_with_a_checkpoint_and_goes_on(jobs: Jobs) -> None:
    words = ("teach", "digits", "--epochs", "400", "--model", "exuno:convnet_2_16", "--devices", "cpu")
    job = jobs.start("photo", words)
    metrics = job.folder / "metrics.jsonl"
    until(lambda: (metrics.is_file() and len(metrics.read_text().splitlines()) > 3) or not job.active)
    assert job.active, job.said()
    job.cancel()
    until(lambda: not job.active)
    assert job.state == "stopped", job.said()
    assert any((job.folder / "checkpoints").iterdir())
    before = len(metrics.read_text().splitlines())
    again = jobs.start("photo", words)
    until(lambda: len(metrics.read_text().splitlines()) > before or not again.active)
    assert again.active, again.said()
    steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines() if "loss" in line]
    assert steps == sorted(set(steps))  # it did not begin anew
