"""Writes samples to disk: units appear complete or not at all, so that a killed run can go on where it stopped."""

import io
import os
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from exuno.engine.checksums import add_checksums
from exuno.engine.files import disk_errors, remove, sync, sync_tree, watch
from exuno.synth.job import Job

_UNFINISHED = ".partial"
"""Ends the name of what is being written. Readers of image folders walk into hidden folders too; no file in one may
have its suffix, or what a killed run leaves counts as content."""


class Maker(Protocol):
    """Makes the files of a job. It is pickled to other processes where they cannot be forked."""

    def prepare(self) -> None:
        """Make now what forked processes can share."""
        ...

    def __call__(self, indices: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """The number and the content of the file of each of these samples, in this order."""
        ...


def write_unit(job: Job, make: Maker, out: Path, unit: int) -> Iterator[int]:
    """Make and write the samples of one unit: first under a temporary name, then renamed in one step.

    The temporary name is always the same, so that what a killed run left is cleared; the caller must have claimed the
    unit (``exuno.synth.job.claim``), or two writers clear each other's work.

    Yields:
        The number of each sample when it is written.

    Raises:
        ExunoError: the disk is full or read-only. What was half-written is removed.
    """
    place = job.place(out, unit)
    temporary = place.with_name(f".{place.name}{_UNFINISHED}")
    with disk_errors(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        remove(temporary)
        try:
            watch("create", temporary)
            yield from (_write_tar if job.container == "wds" else _write_folder)(job, make, unit, temporary)
            watch("write", temporary)
            (sync if job.container == "wds" else sync_tree)(temporary)
            watch("sync", temporary)
            temporary.rename(place)
            watch("rename", place)
            sync(place.parent)
        except BaseException:
            remove(temporary)
            raise


def _write_folder(job: Job, make: Maker, unit: int, folder: Path) -> Iterator[int]:
    folder.mkdir()
    for index, data in make(job.indices(unit)):
        write_bytes(folder / f"{job.file_name(index)}{_UNFINISHED}", data)
        yield index
    for index in job.indices(unit):
        name = f"{folder}/{job.file_name(index)}"
        os.rename(name + _UNFINISHED, name)  # noqa: PTH104 (a Path for each takes as long as the call)


def _write_tar(job: Job, make: Maker, unit: int, path: Path) -> Iterator[int]:
    checksums: dict[str, int] = {}
    with path.open("wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for index, data in make(job.indices(unit)):
            member = tarfile.TarInfo(job.file_name(index))  # time and owner are 0: equal samples give equal bytes
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
            checksums[member.name] = zlib.crc32(data)
            yield index
        add_checksums(tar, checksums)


def write_bytes(path: Path, data: bytes) -> None:
    """A new file; the plain system calls take half the time of a Python file."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        while data:
            data = data[os.write(file, data) :]
    finally:
        os.close(file)
