"""Writes patches to disk: units appear complete or not at all, so that a killed run can go on where it stopped."""

import io
import os
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exuno.engine.files import disk_errors
from exuno.synth.job import Job
from exuno.synth.mixture import Mixture

_CHUNK_BYTES = 1 << 20
"""Pixels made at a time: few calls, and they stay in the cache until they are encoded."""

_UNFINISHED = ".partial"
"""Ends the name of what is being written. Readers of image folders walk into hidden folders too; no picture in one may
have its suffix, or what a killed run leaves counts as content."""


def write_unit(job: Job, mixture: Mixture, out: Path, unit: int) -> Iterator[int]:
    """Make and write the patches of one unit: first under a temporary name, then renamed in one step.

    The temporary name is always the same, so that what a killed run left is cleared; the caller must have claimed the
    unit (``exuno.synth.job.claim``), or two writers clear each other's work.

    Yields:
        The number of each patch when it is written.

    Raises:
        ExunoError: the disk is full or read-only. What was half-written is removed.
    """
    place = job.place(out, unit)
    temporary = place.with_name(f".{place.name}{_UNFINISHED}")
    with disk_errors(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        _remove(temporary)
        try:
            yield from (_write_tar if job.container == "wds" else _write_folder)(job, mixture, unit, temporary)
            temporary.rename(place)
        except BaseException:
            _remove(temporary)
            raise


def encoded(job: Job, mixture: Mixture, indices: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """The patches with these indices as files of the job's format."""
    import cv2

    chunk = max(1, _CHUNK_BYTES // (3 * mixture.options.size**2))
    suffix, flags = encoding(job)
    for start in range(0, len(indices), chunk):
        part = indices[start : start + chunk]
        for index, patch in zip(part, mixture(part), strict=True):
            yield index, encode(cv2.cvtColor(patch, cv2.COLOR_RGB2BGR), suffix, flags)


def encoding(job: Job) -> tuple[str, list[int]]:
    """Suffix and flags for OpenCV's encoder."""
    import cv2

    quality = {"jpeg": cv2.IMWRITE_JPEG_QUALITY, "webp": cv2.IMWRITE_WEBP_QUALITY}
    return {"jpeg": ".jpg", "png": ".png", "webp": ".webp"}[job.format], (
        [quality[job.format], job.quality] if job.format in quality else []
    )


def encode(bgr: NDArray[np.uint8], suffix: str, flags: list[int]) -> bytes:
    import cv2

    done, data = cv2.imencode(suffix, bgr, flags)
    if not done:
        raise RuntimeError(f"OpenCV could not encode {suffix}")
    return data.tobytes()


def _write_folder(job: Job, mixture: Mixture, unit: int, folder: Path) -> Iterator[int]:
    folder.mkdir()
    for index, data in encoded(job, mixture, job.indices(unit)):
        write_bytes(folder / f"{job.file_name(index)}{_UNFINISHED}", data)
        yield index
    for index in job.indices(unit):
        name = f"{folder}/{job.file_name(index)}"
        os.rename(name + _UNFINISHED, name)  # noqa: PTH104 (a Path for each takes as long as the call)


def _write_tar(job: Job, mixture: Mixture, unit: int, path: Path) -> Iterator[int]:
    with path.open("wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for index, data in encoded(job, mixture, job.indices(unit)):
            member = tarfile.TarInfo(job.file_name(index))  # time and owner are 0: equal patches give equal bytes
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
            yield index


def write_bytes(path: Path, data: bytes) -> None:
    """A new file; the plain system calls take half the time of a Python file."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        while data:
            data = data[os.write(file, data) :]
    finally:
        os.close(file)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
