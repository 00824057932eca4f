"""``--devices N`` and signals: who says why it ended. The processes are stand-ins, which end as real ones may."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from exuno.cli import main
from exuno.engine import launch as launching
from exuno.engine.launch import launch
from exuno.engine.stop import LAUNCHED, Stopped

SAID = "exuno: interrupted; the same command continues from the last checkpoint.\n"
INTERRUPT_PARENT = "import os, signal, time; os.kill(os.getppid(), signal.SIGINT); "


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in the place of Python for the processes: write into it what they do."""
    program = tmp_path / "python"
    program.write_text(f"#!{sys.executable}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(launching, "GRACE", 0.2)
    return program


@pytest.mark.parametrize(
    "ends",
    [
        "os._exit(130)",  # as whoever has heard it once
        "signal.signal(2, signal.SIG_DFL); signal.pthread_sigmask(signal.SIG_UNBLOCK, [2]); time.sleep(9)",  # or twice
        "time.sleep(9) if os.environ['RANK'] == '0' else os._exit(130)",  # or not at all
    ],
)
def test_an_interruption_is_said_once_however_the_processes_end(
    stand_in: Path, ends: str, capfd: pytest.CaptureFixture[str]
) -> None:
    stand_in.write_text(stand_in.read_text() + INTERRUPT_PARENT + ends)
    assert main(["teach", "digits", "--devices", "cpu:2"]) == 130
    assert capfd.readouterr().err == SAID


def test_processes_that_alone_were_told_are_spoken_for(stand_in: Path) -> None:
    stand_in.write_text(stand_in.read_text() + "raise SystemExit(130)")
    with pytest.raises(KeyboardInterrupt):
        launch("teach", [], 2)
    stand_in.write_text(stand_in.read_text().replace("130", "75"))
    with pytest.raises(Stopped):
        launch("teach", [], 2)


def test_signals_wait_until_a_process_listens(stand_in: Path, tmp_path: Path) -> None:
    place = tmp_path / "mask"
    text = f"import os, signal; open({str(place)!r}, 'w').write(str(signal.pthread_sigmask(signal.SIG_BLOCK, [])))"
    stand_in.write_text(stand_in.read_text() + text)
    launch("teach", [], 1)
    assert "SIGINT" in place.read_text()
    assert "SIGTERM" in place.read_text()
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


CHILD = """
import os, signal, time
from exuno.engine.stop import listening
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
os.kill(os.getpid(), signal.SIGINT)  # before it listens
try:
    with listening():
        raise AssertionError("it was not let in")
finally:
    os.kill(os.getpid(), signal.SIGINT)  # its echo, when it has nearly ended
    time.sleep(0.01)
"""


def test_a_process_that_was_launched_hears_it_once_and_is_silent() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", CHILD], env={**os.environ, LAUNCHED: "1"}, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (130, "")
