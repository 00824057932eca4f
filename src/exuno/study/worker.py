"""The process that carries out cells, one after another: libraries are loaded once, and a crash costs one cell.

``python -m exuno.study.worker`` reads one job a line from standard input and answers one outcome a line on standard
output. What a cell prints goes into its log. When the study that started it is gone, it ends, whatever it is doing.
"""

import contextlib
import gc
import json
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue

from exuno.engine.stop import INTERRUPTED, REQUEUE, listening

REFUSED = "the command ended early"
STOPPED = "it was told to stop"


@dataclass(frozen=True)
class Job:
    """A cell to carry out."""

    name: str
    args: tuple[str, ...]
    """The command line after ``exuno``."""
    log: str
    """File that gets what the command prints."""


@dataclass(frozen=True)
class Outcome:
    """What became of a cell; ``reason`` says in a sentence or two why it failed, and is empty where it did not."""

    name: str
    reason: str
    seconds: float
    broken: bool = False
    """Whether the process that carried it out should not carry out another."""

    @property
    def unfinished(self) -> bool:
        """Whether it was told to stop (``engine.stop``): it goes on where it is carried out again."""
        return self.reason == STOPPED


def run_cell(job: Job) -> Outcome:
    """Runs a command in this process; never raises."""
    begun, log = time.monotonic(), Path(job.log)
    try:
        before = log.stat().st_size if log.is_file() else 0
        with logged(log):
            reason, broken = _run(job.args)
            if reason:
                print(reason, file=sys.stderr)
        if reason == REFUSED:
            reason = f"{REFUSED}: {last_words(log.read_bytes()[before:].decode(errors='replace'))}"
    except Exception as error:  # of the log: a full disk, a folder that this machine does not see
        reason, broken = f"{type(error).__name__}: {error}", True
    gc.collect()  # the model of one cell must not crowd the next
    return Outcome(job.name, reason, time.monotonic() - begun, broken)


def run_cell_in(job: Job, folder: str) -> Outcome:
    """The same on another machine, in the folder in which the study was started: run directories and data may be named
    relative to it."""
    try:
        os.chdir(folder)
    except OSError as error:
        return Outcome(job.name, f"{platform.node()} does not see the folder {folder}: {error.strerror}", 0.0)
    return run_cell(job)


def _run(args: Sequence[str]) -> tuple[str, bool]:
    from exuno.engine.errors import ExunoError
    from exuno.verbs import run_verb

    try:
        with listening():
            run_verb(args)
    except ExunoError as error:
        return f"{error.what.rstrip('.')}. {error.todo or ''}".strip(), False
    except SystemExit as stop:  # of the parser, which has told why, or of a command in several processes
        if stop.code in (REQUEUE, INTERRUPTED):
            return STOPPED, True
        return (REFUSED if stop.code else ""), False
    except KeyboardInterrupt:
        return STOPPED, True
    except Exception as error:  # whatever it was, an error of CUDA would meet the next cell as well
        traceback.print_exc()
        return f"{type(error).__name__}: {error}", True
    return "", False


def last_words(text: str) -> str:
    """What a command said last: exuno's own sentence, or the first line in the parser's frame, or the last line."""
    text = text.replace(REFUSED, "")
    if "exuno: " in text:
        return " ".join(text.rsplit("exuno: ", 1)[1].split())
    if "╭" in text:
        lines = [line.strip("│ ") for line in text.rsplit("╭", 1)[1].splitlines() if "│" in line]
    else:
        lines = [line.strip() for line in reversed(text.splitlines())]
    return next((line for line in lines if line.strip("─- ")), "it said nothing")


@contextlib.contextmanager
def logged(path: Path) -> Iterator[None]:
    """Sends what this process and its children print to the end of a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with path.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    # A worker of Ray has streams of its own in the place of these.
    with (
        open(1, "w", closefd=False, buffering=1, encoding="utf-8") as out,
        open(2, "w", closefd=False, buffering=1, encoding="utf-8") as err,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            yield
        finally:
            out.flush()
            err.flush()
            for number, old in enumerate(kept, 1):
                os.dup2(old, number)
                os.close(old)


def main() -> None:
    """Carries out jobs until there are no more."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    # A process that a cell forks closes sys.stdin first, and would wait for ever for the lock of the thread reading it.
    orders, sys.stdin = os.fdopen(os.dup(0)), Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115
    jobs: SimpleQueue[Job] = SimpleQueue()

    def listen() -> None:
        for line in orders:
            content = json.loads(line)
            jobs.put(Job(content["name"], tuple(content["args"]), content["log"]))
        os.killpg(0, signal.SIGKILL)  # with the processes that a cell may have started

    threading.Thread(target=listen, daemon=True).start()
    while True:
        outcome = run_cell(jobs.get())
        answers.write(json.dumps(asdict(outcome)) + "\n")
        if outcome.broken:
            return


if __name__ == "__main__":
    main()
