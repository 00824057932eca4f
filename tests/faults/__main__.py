"""``python -m tests.faults``: commands that are killed, or whose disk is full, at every write in turn.

Each command runs undisturbed once; its writes are counted and its files kept for comparison. Then, for every event of
the file layer (``create``, ``write``, ``sync``, ``rename``, ``append``), it runs in a new folder with the fault at that
event, and once more without. After a kill nothing tells the user anything; with a full disk the command must end in a
sentence and exit code 2. In both cases the second run must end well, with the same bytes in every file that counts and
nothing half-written left.

A process that has imported the libraries forks for each run, so one takes a second or two.
"""

import argparse
import contextlib
import errno
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

SMOKE = ("--smoke", "--devices", "cpu", "--workers", "0")
COMMANDS: dict[str, tuple[str, ...]] = {
    "synth-folder": (
        "synth",
        "photo:coffee",
        "--count",
        "24",
        "--group",
        "8",
        "--size",
        "8",
        "--workers",
        "1",
        "--out",
    ),
    "synth-shards": (
        *("synth", "photo:coffee", "--count", "24", "--group", "8", "--size", "8", "--workers", "1"),
        *("--container", "wds", "--out"),
    ),
    "teach": ("teach", "digits", *SMOKE, "--run-dir"),
    "distill": ("distill", "digits", *SMOKE, "--run-dir"),
    "poster": ("poster", "digits", *SMOKE, "--run-dir"),
    "pretrain": ("fewshot", "pretrain", "digits", *SMOKE, "--run-dir"),
    "fewshot": ("fewshot", "distill", "digits", *SMOKE, "--run-dir"),
    "study": (
        *("study", "--stages", "teach digits", "--axes", "seed=0,1", "--metrics", "top1", "--processes", "1"),
        *("--smoke", "--devices", "cpu", "--run-dir"),
    ),
}
COUNTS = (
    ".safetensors",
    ".jpg",
    ".png",
    ".tar",
    ".poster",
    ".npz",
    "synth.json",
    "model.json",
    "config.yaml",
    "table.md",
)
"""Ends of the names of files whose bytes must be the same: all but those that hold times."""
KILLED = 137

Fault = Callable[[int, str, Path], None]


def kill(number: int, event: str, path: Path) -> None:
    """The end of the process in the middle of a write."""
    _tear(event, path)
    os._exit(KILLED)


def fill(number: int, event: str, path: Path) -> None:
    """No room on the disk."""
    _tear(event, path)
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _tear(event: str, path: Path) -> None:
    """Leaves half of what was to be written."""
    if event == "write" and path.is_file():
        os.truncate(path, path.stat().st_size // 2)
    elif event == "append":
        with path.open("ab") as file:
            file.write(b'{"step": ')


def forked(args: list[str], at: int | None, fault: Fault, log: Path) -> tuple[int, list[str]]:
    """Runs a command in a process of its own, with a fault at an event; returns its exit code and the events."""
    events = log.with_suffix(".events")
    events.write_text("")
    process = os.fork()
    if process == 0:
        code = 99
        try:
            _watch(at, fault, events)
            with log.open("w") as out:
                os.dup2(out.fileno(), 1)
                os.dup2(out.fileno(), 2)
            from exuno.cli import main

            code = main(args)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status), events.read_text().splitlines()


def _watch(at: int | None, fault: Fault, events: Path) -> None:
    """Puts a counter in the place of the file layer's hook."""
    from exuno.engine import files

    plain, count = files.watch, 0

    def watch(event: str, path: Path) -> None:
        nonlocal count
        number, count = count, count + 1
        with events.open("a") as file:
            file.write(f"{event} {path.name}\n")
        if number == at:
            fault(number, event, path)

    for module in list(sys.modules.values()):
        if getattr(module, "watch", None) is plain:
            module.watch = watch  # type: ignore[attr-defined]


def content(folder: Path) -> dict[str, str]:
    """sha256 of every file whose bytes must not depend on when and how it was written."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name.endswith(COUNTS))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def leftovers(folder: Path) -> list[str]:
    """Half-written files."""
    return [str(path) for path in folder.rglob("*") if path.name.endswith((".tmp", ".partial"))]


def trials(name: str, fault: Fault, place: Path, every: int, first: int) -> Iterator[tuple[int, str, str]]:
    """(number, event, what went wrong) for the events of a command; "" where nothing did."""
    log, folder = place / "log", place / "run"  # one name: lineages hold it
    args = [*COMMANDS[name], str(folder)]
    code, events = forked(args, None, fault, log)
    if code != 0:
        yield -1, "undisturbed", f"exit code {code}: {log.read_text()[-500:]}"
        return
    wanted = content(folder)
    for number in range(first, len(events), every):
        shutil.rmtree(folder)
        code, _ = forked(args, number, fault, log)
        told = log.read_text()
        wrong = ""
        if fault is kill and code != KILLED:
            wrong = f"exit code {code} instead of a kill"
        elif fault is fill and (code not in (0, 2) or "Traceback" in told or (code == 2 and "full" not in told)):
            wrong = f"a full disk gave exit code {code}: {told[-300:]}"
        code, _ = forked(args, None, fault, log)
        found = content(folder)
        if not wrong and code != 0:
            wrong = f"the second run gave exit code {code}: {log.read_text()[-300:]}"
        elif not wrong and found != wanted:
            other = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
            wrong = f"other bytes in {', '.join(other[:3])}"
        elif not wrong and (left := leftovers(folder)):
            wrong = f"left behind: {', '.join(left[:3])}"
        yield number, events[number], wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("commands", nargs="*", default=list(COMMANDS))
    parser.add_argument("--every", type=int, default=1, help="only every so many-th event")
    parser.add_argument("--first", type=int, default=0, help="number of the first event")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # a process that forks must not have threads
    import accelerate  # noqa: F401
    import torch

    import exuno.distill.train
    import exuno.fewshot.train
    import exuno.poster.train
    import exuno.study.study
    import exuno.synth.writer
    import exuno.teach.train  # noqa: F401

    torch.set_num_threads(1)
    bad = 0
    for name in options.commands or list(COMMANDS):
        for fault in (kill, fill):
            with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
                found = list(trials(name, fault, Path(folder), options.every, options.first))
            wrong = [each for each in found if each[2]]
            bad += len(wrong)
            print(f"{name}: {fault.__name__} at {len(found)} writes, {len(wrong)} went wrong", flush=True)
            for number, event, what in wrong:
                print(f"   {number} {event}: {what}", flush=True)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
