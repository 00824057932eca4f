"""What one ``exuno synth`` writes, and how it is cut into units."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from exuno.engine.errors import ExunoError
from exuno.engine.files import write_json
from exuno.synth.options import ImageOptions

MANIFEST = "synth.json"

Format = Literal["jpeg", "png", "webp"]
Container = Literal["folder", "wds"]
SUFFIX = {"jpeg": "jpg", "png": "png", "webp": "webp"}


@dataclass(frozen=True)
class Job:
    """Everything that decides about the bytes on disk. A *unit* is one subfolder or one tar file."""

    photos: tuple[str, ...]
    """SHA-256 of each photograph."""
    options: ImageOptions
    seed: int
    count: int
    format: Format
    quality: int
    container: Container
    group: int
    """Patches in a unit."""

    @property
    def units(self) -> int:
        return -(-self.count // self.group)

    def indices(self, unit: int) -> range:
        """The patches of a unit."""
        return range(unit * self.group, min(self.count, (unit + 1) * self.group))

    def place(self, out: Path, unit: int) -> Path:
        """The subfolder or tar file of a unit; its presence means that it is complete."""
        return out / f"{unit:06d}.tar" if self.container == "wds" else out / "patches" / f"{unit:06d}"

    def file_name(self, index: int) -> str:
        return f"{index:09d}.{SUFFIX[self.format]}"


def claim(job: Job, out: Path) -> None:
    """Make ``out`` the folder of this job: write its manifest, or compare with the one that is there.

    Raises:
        ExunoError: the folder holds something else, or patches of other options.
    """
    manifest = json.loads(json.dumps(asdict(job)))
    path = out / MANIFEST
    if out.exists() and not out.is_dir():
        raise ExunoError(f"'{out}' is a file", "Give --out a folder.")
    if not path.exists():
        if out.exists() and any(out.iterdir()):
            raise ExunoError(f"the folder '{out}' is not empty and holds no {MANIFEST}", "Give --out a new folder.")
        write_json(path, manifest)
        return
    try:
        there = json.loads(path.read_text())
    except ValueError as error:
        raise ExunoError(f"'{path}' is damaged ({error})", "Give --out a new folder.") from None
    if there != manifest:
        fields = sorted(name for name in manifest.keys() | there.keys() if there.get(name) != manifest.get(name))
        changes = "; ".join(f"{name}: {_short(there.get(name))}, now {_short(manifest.get(name))}" for name in fields)
        raise ExunoError(
            f"the folder '{out}' holds patches made with other options ({changes})",
            "Give the same options to continue it, or --out another folder.",
        )


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) < 60 else text[:57] + "…"
