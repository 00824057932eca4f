"""Windows and macOS, as far as that can be told without one: the calls that they lack are taken away."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from exuno import cli
from exuno.engine import files, stop, system
from exuno.engine.errors import ExunoError
from exuno.engine.files import atomic, atomic_folder, sweep
from exuno.engine.options import RunOptions
from exuno.engine.run import open_run
from exuno.engine.system import FAR, drop_lock_file, lock
from exuno.synth.job import Job, claim

LACKING = """
import os, signal, subprocess, sys
sys.modules["fcntl"] = None
for module, names in (
    (os, ("O_NOFOLLOW", "killpg")),
    (signal, ("SIGUSR1", "SIGUSR2", "alarm")),
):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
"""
"""Takes away what Windows has not, as far as the libraries that are those of POSIX here do without."""


class Locking:
    """msvcrt's locks of bytes: one at a time for each file, whoever asks."""

    LK_NBLCK = 2

    def __init__(self) -> None:
        self.held: dict[tuple[int, int], int] = {}

    def locking(self, file: int, mode: int, count: int) -> None:
        assert (os.lseek(file, 0, os.SEEK_CUR), mode, count) == (FAR, 2, 1)
        status = os.fstat(file)
        place = (status.st_dev, status.st_ino)
        owner = self.held.get(place)
        if owner is not None and owner != file:
            try:
                alive = os.path.samestat(os.fstat(owner), status)
            except OSError:
                alive = False  # closed, which lets go
            if alive:
                raise OSError(errno.EACCES, "Permission denied")
        self.held[place] = file


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> Locking:
    """Windows as ``engine.system`` sees it: no flock, no folder that can be opened, no open file that can be renamed or
    removed."""
    locking = Locking()
    monkeypatch.setattr(system, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", locking)
    monkeypatch.setattr(system, "sys", SimpleNamespace(platform="win32"))
    plain = os.open

    def opened(path: str | Path, *rest: int, **options: int) -> int:
        if Path(path).is_dir():
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return plain(path, *rest, **options)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(shutil, "_use_fd_functions", False)

    def free(path: Path) -> None:
        for handle in Path("/proc/self/fd").iterdir() if Path("/proc/self/fd").is_dir() else ():
            if handle.exists() and handle.resolve() == path.resolve():
                raise PermissionError(errno.EACCES, "it is open", str(path))

    for name in ("replace", "rename", "unlink"):
        whole = getattr(Path, name)

        def careful(self: Path, *rest, whole=whole, **options):
            free(self)
            return whole(self, *rest, **options)

        monkeypatch.setattr(Path, name, careful)
    return locking


@pytest.mark.usefixtures("windows")
def test_files_and_folders_are_written_in_one_step(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with atomic(tmp_path / "file") as temporary:
            temporary.write_text(text)
        with atomic_folder(tmp_path / "folder") as temporary:
            (temporary / "inside").write_text(text)
    assert (tmp_path / "file").read_text() == (tmp_path / "folder/inside").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.usefixtures("windows")
def test_what_may_still_be_written_is_left_for_a_day(tmp_path: Path) -> None:
    for name, age in (("0" * 16, 0.0), ("1" * 16, 2 * files.ORPHANED)):
        path = tmp_path / f".file.{name}.tmp"
        path.write_text("half")
        os.utime(path, (time.time() - age, time.time() - age))
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f".file.{'0' * 16}.tmp"]


@pytest.mark.usefixtures("windows")
def test_a_lock_is_held_until_its_file_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("w") as first, path.open("w") as second:
        lock(first.fileno())
        with pytest.raises(BlockingIOError):
            lock(second.fileno())
    with path.open("w") as third:
        lock(third.fileno(), wait=True)
        drop_lock_file(path, third)
    assert not path.exists()


@pytest.mark.usefixtures("windows")
def test_a_run_directory_belongs_to_one_process_and_goes_where_nothing_happened(tmp_path: Path) -> None:
    run = open_run("teach", "digits", {"epochs": 3}, {}, RunOptions(run_dir=tmp_path / "run"))
    with pytest.raises(ExunoError, match="another process is working in"):
        open_run("teach", "digits", {"epochs": 3}, {}, RunOptions(run_dir=tmp_path / "run"))
    run.check_there()
    run.forget()
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("windows")
def test_synth_claims_its_folder(tmp_path: Path) -> None:
    job = Job("patches", ("x",), RunOptions(), 0, 10, "jpeg", 90, "folder", 5)
    with claim(job, tmp_path / "out"):
        pass
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["synth.json"]


@pytest.mark.usefixtures("windows")
def test_several_processes_are_refused_in_a_sentence(fails) -> None:
    said = fails("teach", "digits", "--smoke", "--devices", "cpu:2")
    assert "a training in 2 processes (--devices) does not work on Windows. Take WSL 2" in said


@pytest.mark.usefixtures("windows")
def test_a_study_is_refused_in_a_sentence() -> None:
    from exuno.study.local import Local, Need

    with pytest.raises(ExunoError, match=r"exuno study in processes of this machine does not work on Windows\."):
        Local(2, Need(1, 1, on_cpu=True))


def test_commands_run_without_what_windows_lacks(tmp_path: Path) -> None:
    """Import and a whole training, in a process from which fcntl and POSIX's signals were taken; files as here."""
    (tmp_path / "lacking.py").write_text(
        LACKING + "from types import SimpleNamespace\n"
        "sys.modules['msvcrt'] = SimpleNamespace(LK_NBLCK=2, locking=lambda *rest: None)\n"
        "from exuno.cli import main\n"
        "code = main(['synth', 'photo:coffee', '--size', '16', '--count', '8', '--workers', '1', '--out', 'patches'])\n"
        "code += main(['teach', 'digits', '--smoke', '--devices', 'cpu', '--run-dir', 'run'])\n"
        "raise SystemExit(code)\n"
    )
    done = subprocess.run([sys.executable, "lacking.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/report.html").is_file()


def test_a_worker_where_there_is_no_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {signal.SIGINT, signal.SIGTERM} <= set(stop.DEFAULTS)
    monkeypatch.delattr(signal, "alarm")
    before, interrupt = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    try:
        stop.in_worker(0)
        assert signal.getsignal(signal.SIGTERM) is before
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # who trains ends it after the step
    finally:
        signal.signal(signal.SIGINT, interrupt)


def test_peak_memory_is_in_bytes_on_a_mac_too(monkeypatch: pytest.MonkeyPatch) -> None:
    here = system.peak_memory()
    monkeypatch.setattr(system, "sys", SimpleNamespace(platform="darwin"))
    assert here // 1024 <= system.peak_memory() < here
    assert system.memory() > here


@pytest.mark.parametrize(
    ("told", "threads", "crowd"),
    [
        ("0.10 0.20 0.30 1/99 123", "", False),  # nothing runs but this
        ("0.10 0.20 0.30 2/99 123", "", True),
        ("0.10 0.20 0.30 2/99 123", "1", False),  # there is a core for it
        ("0.10 0.20 0.30 5/99 123", "1", True),
        ("no numbers", "", False),
        (None, "", False),  # not Linux
    ],
)
def test_whether_others_are_at_work(
    told: str | None, threads: str, crowd: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    monkeypatch.setattr(system, "RUNNABLE", tmp_path / "loadavg")
    if told:
        (tmp_path / "loadavg").write_text(told)
    assert system.crowded() is crowd


@pytest.mark.parametrize("crowd", [True, False])
def test_threads_sleep_soon_only_beside_others(crowd: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.setattr(cli, "crowded", lambda: crowd)
    assert cli.main(["presets", "show", "distill", "digits"]) == 0
    assert os.environ.pop("GOMP_SPINCOUNT", None) == ("1000" if crowd else None)
