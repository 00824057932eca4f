"""Commands that the page starts, each in a process of its own, one at a time. No torch, no Gradio."""

import hashlib
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from exuno.engine.errors import ExunoError
from exuno.engine.files import disk_errors
from exuno.engine.stop import REQUEUE
from exuno.study.worker import last_words

State = Literal["running", "stopping", "done", "stopped", "failed"]
PROGRESS = re.compile(r"^(\w[\w ]*): (\d+) % +(.*)$", re.MULTILINE)
"""A line of ``engine.progress`` where there is no terminal."""
PATIENCE = 60.0
"""Seconds that a command has to write its checkpoint when the page ends."""


@dataclass(frozen=True)
class Progress:
    """How far a command is."""

    title: str
    """What it is doing."""
    percent: int
    text: str
    """Rate, loss, time left."""


class Job:
    """One command, begun.

    Args:
        args: its words after ``exuno``, the run directory among them.
        folder: that run directory.
        log: file that gets what the command prints.

    Raises:
        ExunoError: the log cannot be written.
    """

    def __init__(self, args: Sequence[str], folder: Path, log: Path) -> None:
        self.args, self.folder, self.log, self.told = tuple(args), folder, log, False
        with disk_errors(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("wb") as stream:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", "exuno", *self.args],
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "PYTHONUNBUFFERED": "1"},
                    start_new_session=True,  # Ctrl-C in the terminal of the page is for the page, which tells its job
                )

    @property
    def command(self) -> str:
        """What to type in a shell for the same."""
        return shlex.join(("exuno", *self.args))

    @property
    def state(self) -> State:
        """``stopped`` is a command that was told to stop and has: the same one goes on where it was."""
        code = self.process.poll()
        if code is None:
            return "stopping" if self.told else "running"
        if code == 0:
            return "done"
        return "stopped" if code == REQUEUE or (self.told and code < 0) else "failed"

    @property
    def active(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def cancel(self) -> None:
        """Tells it to stop, which it does after its step and with a checkpoint (``engine.stop``); told once more, it
        stops at once."""
        if self.active:
            self.told = True
            with suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)

    def said(self) -> str:
        """What it has printed."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.is_file() else ""

    def progress(self) -> Progress | None:
        """How far it is, by the last line that says so; a few seconds old. None before the first."""
        found = PROGRESS.findall(self.said())
        if not found:
            return None
        title, percent, text = found[-1]
        return Progress(title, int(percent), " · ".join(re.split(r" {2,}", text.strip())))

    def reason(self) -> str:
        """Why it failed, in a sentence or two."""
        if "Traceback (most recent call last)" in (said := self.said()):
            line = next(
                (line for line in reversed(said.splitlines()) if re.match(r"[\w.]+(Error|Exception)\b", line)), ""
            )
            return f"This is a bug in exuno, not a mistake of yours ({line or 'see what the command printed'})."
        if (code := self.process.returncode) < 0:
            return f"The command was ended by {signal.Signals(-code).name}, as when memory runs out."
        words = last_words(said)
        return words[:1].upper() + words[1:]


class Jobs:
    """The commands of a page; of all of them one runs at a time.

    Args:
        out: folder for runs and logs.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.begun: dict[str, Job] = {}
        """Kind -> the command of it that was begun last."""
        self._lock = threading.Lock()

    @property
    def running(self) -> Job | None:
        """The one that runs."""
        return next((job for job in self.begun.values() if job.active), None)

    def start(self, kind: str, args: Sequence[str]) -> Job:
        """Begins a command in a run directory that is named by its words: the same words go on in the same one.

        Args:
            kind: which part of the page asks; the name begins with it.
            args: words after ``exuno``, without a run directory.

        Raises:
            ExunoError: another one runs.
        """
        name = f"{kind}-{hashlib.sha256(shlex.join(args).encode()).hexdigest()[:6]}"
        folder = self.out / name
        with self._lock:
            if other := self.running:
                raise ExunoError(
                    f"a command is running: {other.command}", "One at a time: wait for it, or cancel it first."
                )
            words = (*args, "--run-dir", str(folder))
            self.begun[kind] = job = Job(words, folder, self.out / "logs" / f"{name}.txt")
            return job

    def close(self) -> None:
        """Tells a command that runs to stop, and waits until it has."""
        job = self.running
        if job is None:
            return
        if not job.told:
            job.cancel()
        try:
            job.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            job.process.kill()
            job.process.wait()
