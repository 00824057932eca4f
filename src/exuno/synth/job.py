"""What one ``exuno synth`` writes, and how it is cut into units."""

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import gcd
from pathlib import Path
from typing import IO, Any, Literal

from exuno.engine.documents import mapping, read_json
from exuno.engine.errors import ExunoError
from exuno.engine.files import disk_errors, write_json
from exuno.engine.system import drop_lock_file, lock

MANIFEST = "synth.json"

Container = Literal["folder", "wds"]
What = Literal["patches", "clips", "excerpts"]

PATIENCE = 2.0
"""Seconds to wait for another writer: the processes of a killed run need a moment to see that their parent is gone."""


@dataclass(frozen=True)
class Job:
    """Everything that decides about the bytes on disk. A *unit* is one subfolder or one tar file."""

    what: What
    """What is made; also the name of its folder."""
    inputs: tuple[str, ...]
    """SHA-256 of each photograph or recording."""
    options: Any
    """A frozen dataclass: how a sample is made."""
    seed: int
    count: int
    format: str
    """Format of a file."""
    quality: int
    """Quality of a file, in the unit of its format."""
    container: Container
    group: int
    """Samples in a unit."""

    @property
    def units(self) -> int:
        return -(-self.count // self.group)

    def indices(self, unit: int) -> range:
        """The samples of a unit."""
        return range(unit * self.group, min(self.count, (unit + 1) * self.group))

    def place(self, out: Path, unit: int) -> Path:
        """The subfolder or tar file of a unit; its presence means that it is complete."""
        return out / f"{unit:06d}.tar" if self.container == "wds" else out / self.what / f"{unit:06d}"

    def file_name(self, index: int) -> str:
        return f"{index:09d}.{'jpg' if self.format == 'jpeg' else self.format}"


@contextmanager
def claim(job: Job, out: Path, share: int = 0, shares: int = 1) -> Iterator[None]:
    """Make ``out`` the folder of this job, and every ``shares``-th unit from ``share`` on this process's to write.

    The manifest is written, or compared with the one that is there. Processes forked within the block keep the claim
    for as long as they live, even when their parent was killed.

    Raises:
        ExunoError: the folder holds something else, or samples of other options, or another process writes the units.
    """
    is_there(job, out)  # before anything is written: a folder that is refused stays as it was
    with _lock(job, out, share, shares):
        if not is_there(job, out):
            write_json(out / MANIFEST, _manifest(job))
        yield


def _manifest(job: Job) -> dict[str, object]:
    return json.loads(json.dumps(asdict(job)))


def is_there(job: Job, out: Path) -> bool:
    """Whether ``out`` is the folder of this job already; raises ExunoError if it is something else's."""
    manifest = _manifest(job)
    path, anew = out / MANIFEST, "Give --out a new folder."
    if out.exists() and not out.is_dir():
        raise ExunoError(f"'{out}' is a file", "Give --out a folder.")
    if not path.exists():
        # Hidden: the locks and temporary files of other shares, which may start at the same moment.
        if out.exists() and any(not entry.name.startswith(".") for entry in out.iterdir()):
            raise ExunoError(f"the folder '{out}' is not empty and holds no {MANIFEST}", "Give --out a new folder.")
        return False
    try:
        there = _current(read_json(path, todo=anew))
        mapping(there.get("options") or {})
    except ValueError as error:
        raise ExunoError(f"'{path}' is damaged: {error}", anew) from None
    if there.get("what") != job.what:
        raise ExunoError(f"the folder '{out}' holds {there.get('what')}, not {job.what}", "Give --out another folder.")
    if there != manifest:
        old, new = _flat(there), _flat(manifest)
        fields = sorted(name for name in new.keys() | old.keys() if old.get(name) != new.get(name))
        changes = "; ".join(f"{name}: {_short(old.get(name))}, now {_short(new.get(name))}" for name in fields)
        raise ExunoError(
            f"the folder '{out}' holds {there.get('what')} made with other options ({changes})",
            "Give the same options to continue it, or --out another folder.",
        )
    return True


def _current(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest as it would be written today: patches were once all there was, and photographs all they came from."""
    if "photos" in manifest:
        manifest = {"what": "patches", "inputs": manifest.pop("photos"), **manifest}
    return manifest


def _flat(manifest: dict[str, Any]) -> dict[str, Any]:
    """Its fields with those of the options beside them, as they are typed."""
    return {name: value for name, value in manifest.items() if name != "options"} | (manifest.get("options") or {})


@contextmanager
def _lock(job: Job, out: Path, share: int, shares: int) -> Iterator[None]:
    path = out / f".lock-{share}-of-{shares}"
    with disk_errors(path):
        out.mkdir(parents=True, exist_ok=True)
        file = _take(job, path, out)
    try:
        # Another way to divide the work has other lock files. Each side looks after it holds its own, so never both
        # pass; both may be refused.
        for other in out.glob(".lock-*-of-*"):
            numbers = re.fullmatch(r"\.lock-(\d+)-of-([1-9]\d*)", other.name)
            if numbers and other != path:
                first, step = map(int, numbers.groups())
                if (first - share) % gcd(step, shares) == 0 and _held(other):
                    raise _occupied(job, out)
        yield
    finally:
        drop_lock_file(path, file)


def _take(job: Job, path: Path, out: Path) -> IO[str]:
    """The file, opened and locked."""
    deadline = time.monotonic() + PATIENCE
    while True:
        file = path.open("w", encoding="utf-8")
        try:
            lock(file.fileno())
            if os.fstat(file.fileno()).st_nlink:
                return file
        except BlockingIOError:
            if time.monotonic() >= deadline:
                file.close()
                raise _occupied(job, out) from None
        except BaseException:
            file.close()
            raise
        file.close()
        time.sleep(0.02)


def _held(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as file:
            lock(file.fileno(), shared=True)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _occupied(job: Job, out: Path) -> ExunoError:
    return ExunoError(f"another process is writing the same {job.what} to '{out}'", "Wait for it, or stop it.")


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) < 60 else text[:57] + "…"
