"""The run directory: all that a reader needs to believe a number, and all that a killed run needs to go on."""

import fcntl
import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

import yaml

from exuno.engine.errors import ExunoError
from exuno.engine.files import disk_errors, write_json, write_text
from exuno.engine.options import RunOptions
from exuno.engine.track import Sink, tracker
from exuno.version import __version__

LIBRARIES = ("torch", "numpy", "accelerate", "opencv-python-headless", "timm", "torchvision")
# Options that say where and how a run is executed, not what it computes.
EXECUTION = ("run_dir", "devices", "resume", "workers", "dry_run", "debug", "track")


def identity(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a resolved configuration that shapes the result."""
    return {key: value for key, value in config.items() if key not in EXECUTION}


def fingerprint(config: dict[str, Any]) -> str:
    """Six characters that differ where the result may differ."""
    return hashlib.sha256(json.dumps(identity(config), sort_keys=True).encode()).hexdigest()[:6]


def git_commit() -> str | None:
    """Commit of the checkout that exuno runs from, ``-dirty`` added; None for an installed package."""
    here = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


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
    """Model name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def rank() -> int:
    """Number of this process among those of a distributed run; 0 when there is one."""
    return int(os.environ.get("RANK", "0"))


@dataclass
class Run:
    """One run directory, open for writing by one process."""

    dir: Path
    verb: str
    preset: str | None
    config: dict[str, Any]
    about: dict[str, Any]
    options: RunOptions
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
        return json.loads(path.read_text()) if path.is_file() else None

    @cached_property
    def track(self) -> Sink:
        """Where metrics go beside metrics.jsonl."""
        return tracker(self.options.track, self.dir, self.config)

    def log(self, values: dict[str, Any]) -> None:
        """Adds one line to metrics.jsonl (first process only)."""
        if rank() == 0:
            with disk_errors(self.metrics), self.metrics.open("a") as file:
                file.write(json.dumps(values) + "\n")
            self.track(values)

    def finish(self, **content: Any) -> dict[str, Any]:
        """Writes result.json; with it the run counts as done."""
        command = (self.dir / "command.txt").read_text().split("\n")[0]
        result = {"exuno": __version__, "command": shlex.split(command), "preset": self.preset, **content}
        result["published"] = self.about.get("published")
        result["versions"] = versions()
        if rank() == 0:
            write_json(self.dir / "result.json", result)
        return result

    def close(self) -> None:
        if self.lock:
            self.lock.close()
            self.lock = None

    def child(self, name: str, verb: str, preset: str | None, config: dict[str, Any], about: dict[str, Any]) -> "Run":
        """A run inside this one (``RUN_DIR/teacher``), executed the same way."""
        from dataclasses import replace

        options = replace(self.options, run_dir=self.dir / name, resume="auto")
        return open_run(verb, preset, config, about, options)


def open_run(verb: str, preset: str | None, config: dict[str, Any], about: dict[str, Any], options: RunOptions) -> Run:
    """Opens a new run directory, or one that the same configuration left unfinished or finished.

    Raises:
        ExunoError: the directory holds something else, or cannot be written, or another process works in it.
    """
    folder = options.run_dir or Path("runs") / "-".join(filter(None, (verb, preset, fingerprint(config))))
    run = Run(folder, verb, preset, config, about, options)
    if rank() != 0:
        return run
    if folder.exists() and not folder.is_dir():
        raise ExunoError(f"{folder} is a file, not a folder", "Choose another --run-dir.")
    known = folder / "config.yaml"
    if known.is_file():
        before = yaml.safe_load(known.read_text())
        if before.get("verb") != verb or identity(before.get("config", {})) != identity(config):
            changed = differences(before.get("config", {}), config)
            raise ExunoError(
                f"{folder} holds a run of another configuration ({changed or before.get('verb')})",
                "Choose another --run-dir; nothing there was touched.",
            )
        if options.resume == "never":
            raise ExunoError(
                f"{folder} holds a run and --resume is never", "Choose another --run-dir, or --resume auto."
            )
    elif folder.is_dir() and any(path.name != ".lock" for path in folder.iterdir()):
        raise ExunoError(
            f"{folder} is not empty and holds no run", "Choose another --run-dir; nothing there was touched."
        )
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        run.lock = (folder / ".lock").open("w")
        try:
            fcntl.flock(run.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ExunoError(f"another process is working in {folder}", "Wait for it, or stop it.") from None
        if not known.is_file():
            describe(run)
    return run


def differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """``epochs 3 instead of 5``: the first fields in which two configurations differ."""
    before, now = flatten(identity(before)), flatten(identity(now))
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return ", ".join(f"{key}: {before.get(key)} there, {now.get(key)} here" for key in keys[:3])


def flatten(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"optim": {"lr": 1}}`` -> ``{"optim.lr": 1}``."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def describe(run: Run) -> None:
    """Writes the files that say what the run is."""
    import torch

    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() and run.options.devices != "cpu" else None
    environment = {
        **versions(),
        "device": accelerator or "cpu",
        "cpu": processor(),
        "threads": torch.get_num_threads(),
        "git_commit": git_commit(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    replay = shlex.join(["exuno", run.verb, str(run.dir / "config.yaml"), "--run-dir", f"{run.dir}-replay"])
    typed = shlex.join(["exuno", *sys.argv[1:]])
    write_text(run.dir / "command.txt", f"{replay}\n# first typed as: {typed}\n# in: {Path.cwd()}\n")
    write_json(run.dir / "environment.json", environment)
    content = {"verb": run.verb, "preset": run.preset, "about": run.about, "config": identity(run.config)}
    write_text(run.dir / "config.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


class Stopwatch:
    """Seconds since the start, counting earlier sessions of a resumed run."""

    def __init__(self, before: float = 0.0) -> None:
        self.before, self.started = before, time.monotonic()

    def __call__(self) -> float:
        return self.before + time.monotonic() - self.started
