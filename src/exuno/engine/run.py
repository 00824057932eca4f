"""The run directory: all that a reader needs to believe a number, and all that a killed run needs to go on."""

import errno
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

import yaml

from exuno.engine.configuration import default_folder, differences, identity, shape, without
from exuno.engine.digests import check_tensors
from exuno.engine.documents import mapping, read_json, read_result, read_text, read_yaml
from exuno.engine.errors import ExunoError
from exuno.engine.files import append_line, disk_errors, remove, sweep, write_json, write_text
from exuno.engine.options import RunOptions
from exuno.engine.system import available_cores, lock, on_windows
from exuno.engine.tracking import Tracking, check_trackers
from exuno.renamed import modern
from exuno.version import __version__

LIBRARIES = ("torch", "numpy", "accelerate", "opencv-python-headless", "timm", "torchvision")
PINNED = "inputs.json"
DESCRIPTION = {".lock", "command.txt", "config.yaml", "environment.json", "evaluation", PINNED}
"""What a run directory holds before anything has happened in it; a teacher may have been measured."""


def git_commit() -> str | None:
    """Commit of the checkout that exuno runs from, ``-dirty`` added; None for an installed package."""
    here, said = Path(__file__), ""
    # A package that is installed within somebody else's checkout is no part of it.
    tracked, commit = ("ls-files", "--error-unmatch", here.name), ("describe", "--always", "--dirty", "--abbrev=12")
    for words in (tracked, commit):
        try:
            done = subprocess.run(["git", *words], cwd=here.parent, capture_output=True, text=True, timeout=5)
        except (OSError, subprocess.TimeoutExpired):
            return None
        if done.returncode != 0:
            return None
        said = done.stdout.strip()
    return said or None


def versions() -> dict[str, str]:
    """Versions of exuno, Python and the libraries a number depends on."""
    found = {"exuno": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """Model name of the processor, and the cores that this process may use."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {available_cores()} cores"


def rank() -> int:
    """Number of this process among those of a distributed run; 0 when there is one."""
    return int(os.environ.get("RANK", "0"))


class Changed(ExunoError):
    """What a run learned from is another by now."""


ANEW = "Choose another --run-dir for the new one, or put the old one back."
"""What to do about it."""


@dataclass
class Run:
    """One run directory, open for writing by one process."""

    dir: Path
    verb: str
    preset: str | None
    config: dict[str, Any]
    about: dict[str, Any]
    options: RunOptions
    inputs: dict[str, str] = field(default_factory=dict)
    """sha256 of the files that the configuration names, as they were when the run was opened."""
    lock: IO[str] | None = field(default=None, repr=False)

    @property
    def checkpoints(self) -> Path:
        return self.dir / "checkpoints"

    @property
    def metrics(self) -> Path:
        return self.dir / "metrics.jsonl"

    @property
    def result(self) -> dict[str, Any] | None:
        """The content of result.json, None while the run is unfinished."""
        path = self.dir / "result.json"
        return read_result(path) if path.is_file() else None

    @cached_property
    def track(self) -> Tracking:
        """Where metrics go beside metrics.jsonl."""
        return Tracking(self.options.track, self.dir, self.config)

    def log(self, values: dict[str, Any]) -> None:
        """Adds one line to metrics.jsonl (first process only)."""
        if rank() == 0:
            self.check_there()
            append_line(self.metrics, json.dumps(values))
            self.track(values)

    def check_there(self) -> None:
        """Raises ExunoError if the directory has been removed or replaced: what is written now would lie in one that
        lacks what was written before."""
        if self.lock is None:
            return
        with suppress(FileNotFoundError):
            if os.path.samestat((self.dir / ".lock").stat(), os.fstat(self.lock.fileno())):
                return
        raise ExunoError(
            f"{self.dir} has been removed, or another put in its place, while the run was working in it",
            "Put it back if you can, and give the same command again: it goes on from what is there.",
        )

    @property
    def metrics_bytes(self) -> int:
        """Length of metrics.jsonl."""
        return self.metrics.stat().st_size if self.metrics.exists() else 0

    def cut_metrics(self, length: int) -> None:
        """Drops the lines after a checkpoint: they will be written again (first process only). Lines that are missing
        before it are told, and what is left of the last one is dropped."""
        if rank() != 0:
            return
        if (there := self.metrics_bytes) < length:
            print(
                f"exuno: {self.metrics} has {there} of the {length} bytes that it had at the checkpoint: "
                "the curves of this run will lack what was written there.",
                file=sys.stderr,
            )
            length = self.metrics.read_bytes().rfind(b"\n") + 1 if there else 0
        if self.metrics.exists():
            with self.metrics.open("r+b") as file:
                file.truncate(length)

    def pin(self, **digests: str) -> None:
        """Records what the run learns from, or compares it with what it learned from when it began.

        Args:
            digests: what it is, such as ``training_data``, and its digest.

        Raises:
            Changed: it is another.
        """
        if rank() != 0:
            return
        before = self.compare(digests)
        if not before.keys() >= digests.keys():
            write_json(self.dir / PINNED, {**before, **digests})

    def compare(self, digests: Mapping[str, str]) -> dict[str, Any]:
        """What :meth:`pin` recorded; a name that has no record may be of any content.

        Raises:
            Changed: something is another now.
        """
        path = self.dir / PINNED
        before = read_json(path) if path.is_file() else {}
        if changed := [name for name, digest in digests.items() if before.get(name, digest) != digest]:
            raise Changed(
                f"the {changed[0].replace('_', ' ')} of the run in {self.dir} has changed since it began",
                ANEW,
            )
        return before

    def verify(self) -> None:
        """Raises ExunoError if weights of the run are not those that were written."""
        for path in sorted(self.dir.glob("*.safetensors")):
            check_tensors(path)

    def finish(self, **content: Any) -> dict[str, Any]:
        """Writes result.json; with it the run counts as done."""
        self.check_there()
        command = read_text(self.dir / "command.txt").split("\n")[0]
        result = {"exuno": __version__, "command": shlex.split(command), "preset": self.preset, **content}
        result["published"] = self.about.get("published")
        result["versions"] = versions()
        if rank() == 0:
            write_json(self.dir / "result.json", result)
        return result

    def forget(self) -> None:
        """Removes a run in which nothing happened, so that the corrected command may have its folder."""
        if rank() == 0 and self.dir.is_dir() and {path.name for path in self.dir.iterdir()} <= DESCRIPTION:
            if on_windows():
                self.close()  # an open file cannot be removed there
            remove(self.dir)

    def close(self) -> None:
        self.track.close()
        if self.lock:
            self.lock.close()
            self.lock = None


def open_run(
    verb: str,
    preset: str | None,
    config: dict[str, Any],
    about: dict[str, Any],
    options: RunOptions,
    inputs: dict[str, str] | None = None,
    replay: list[str] | None = None,
    ignored_fields: Sequence[str] = (),
) -> Run:
    """Opens a new run directory, or one that the same configuration left unfinished or finished.

    Args:
        verb: the verb of the command line.
        preset: name of the preset, if any.
        config: the resolved configuration.
        about: what is known of the preset.
        options: where the run lives and how it is executed.
        inputs: sha256 of the files that the configuration names; the same names with other content are another run.
        replay: the command that repeats the run; default: its config.yaml in the place of a preset.
        ignored_fields: fields of the configuration that may be others when the run goes on; config.yaml holds the
            last ones.

    Raises:
        ExunoError: the directory holds something else, or cannot be written, or another process works in it; or a
            tracker needs a package that is missing.
    """
    folder = options.run_dir or default_folder(verb, preset, without(config, ignored_fields))
    run = Run(folder, verb, preset, config, about, options, inputs or {})
    check_trackers(options.track)
    if rank() != 0:
        return run
    with disk_errors(folder):
        marked = check_folder(run, ignored_fields)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            run.lock = (folder / ".lock").open("w", encoding="utf-8")
            lock(run.lock.fileno())
        except BlockingIOError:
            raise ExunoError(f"another process is working in {folder}", "Wait for it, or stop it.") from None
        except OSError as error:
            if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM) and run.result is not None:
                return run  # finished: it only answers
            raise
        for each in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
            sweep(each, again=True)
        if not (folder / "command.txt").is_file():
            describe(run, replay)
        elif ignored_fields or not marked:
            write_config(run)
    return run


def check_folder(run: Run, ignored_fields: Sequence[str] = ()) -> bool:
    """What :func:`check_same` says of a folder that holds a run; else True.

    Raises:
        ExunoError: a run cannot live there: the folder holds something else.
    """
    folder = run.dir
    if folder.exists() and not folder.is_dir():
        raise ExunoError(f"{folder} is a file, not a folder", "Choose another --run-dir.")
    if (folder / "config.yaml").is_file():
        return check_same(run, ignored_fields)
    if folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise ExunoError(
            f"{folder} is not empty and holds no run", "Choose another --run-dir; nothing there was touched."
        )
    return True


def check_same(run: Run, ignored_fields: Sequence[str] = ()) -> bool:
    """Whether config.yaml says already whether images may be written; a run that began without them goes on without.

    Raises:
        ExunoError: the directory holds no run of this configuration and these inputs that may go on, or one that is
            done and has written images that are not wanted now.
    """
    folder, config = run.dir, run.config
    before = read_yaml(folder / "config.yaml", todo="Choose another --run-dir.")
    try:
        verb, then = before["verb"], mapping(before["config"])
        then = without(modern(verb, then), ignored_fields)
        files, bare = mapping(before.get("inputs") or {}), bool(before.get("no_images"))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ExunoError(f"{folder / 'config.yaml'} is damaged ({error})", "Choose another --run-dir.") from error
    config = without(config, ignored_fields)
    if verb != run.verb or shape(then) != shape(config):
        tried = bool(then.get("smoke"))
        other = differences(then, config) or verb
        if verb == run.verb and tried != bool(config.get("smoke")):  # which alone changes many options
            other = "made with --smoke" if tried else "made without --smoke"
        raise ExunoError(
            f"{folder} holds a run of another configuration ({other})",
            "Choose another --run-dir; nothing there was touched.",
        )
    changed = [name for name, digest in run.inputs.items() if files.get(name, digest) != digest]
    if changed:
        raise ExunoError(
            f"{changed[0]} has changed since the run in {folder} began", "Choose another --run-dir for the new one."
        )
    if run.options.resume == "never":
        raise ExunoError(f"{folder} holds a run and --resume is never", "Choose another --run-dir, or --resume auto.")
    if run.options.no_images and not bare and run.result is not None:
        raise ExunoError(
            f"{folder} holds a finished run that was made without --no-images",
            f"exuno report {folder} --no-images writes its page anew; the images in figures/ and evaluation/ stay.",
        )
    marked = bare or not run.options.no_images
    run.options = replace(run.options, no_images=bare or run.options.no_images)
    return marked


def write_config(run: Run) -> None:
    """Writes config.yaml."""
    content = {"verb": run.verb, "preset": run.preset, "about": run.about, "config": identity(run.config)}
    content |= {"inputs": run.inputs} if run.inputs else {}
    content |= {"no_images": True} if run.options.no_images else {}
    write_text(run.dir / "config.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def describe(run: Run, replay: list[str] | None) -> None:
    """Writes the files that say what the run is; command.txt last, so that its presence says that all are there."""
    import torch

    write_config(run)
    gpu = torch.cuda.is_available() and not run.options.devices.startswith("cpu")
    environment = {
        **versions(),
        "device": torch.cuda.get_device_name() if gpu else "mps" if run.options.devices == "mps" else "cpu",
        "cpu": processor(),
        "threads": torch.get_num_threads(),
        "git_commit": git_commit(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(run.dir / "environment.json", environment)
    again = replay or ["exuno", *run.verb.split(), str(run.dir / "config.yaml")]
    bare = ["--no-images"] if run.options.no_images else []
    again = shlex.join([*again, *bare, "--run-dir", f"{run.dir}-replay"])
    typed = shlex.join(["exuno", *sys.argv[1:]])
    write_text(run.dir / "command.txt", f"{again}\n# first typed as: {typed}\n# in: {Path.cwd()}\n")


class Stopwatch:
    """Seconds since the start, counting earlier sessions of a resumed run."""

    def __init__(self, before: float = 0.0) -> None:
        self.before, self.started = before, time.monotonic()

    def __call__(self) -> float:
        return self.before + time.monotonic() - self.started
