"""Samples on disk: units that appear complete or not at all; patches, clips, excerpts and a contact sheet as files."""

import io
import math
import os
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from exuno.data.audio.recording import soundfile
from exuno.engine.digests import add_checksums
from exuno.engine.errors import ExunoError
from exuno.engine.files import atomic, disk_errors, remove, sync, sync_tree, watch
from exuno.engine.system import BINARY
from exuno.synth.job import Job
from exuno.synth.mixture import Mixture, Sampling

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
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, 0o666)
    try:
        while data:
            data = data[os.write(file, data) :]
    finally:
        os.close(file)


Format = Literal["jpeg", "png", "webp"]

_CHUNK_BYTES = 1 << 20
"""Pixels made at a time: few calls, and they stay in the cache until they are encoded."""


class PatchFiles:
    """Makes the files of patches, an ``exuno.synth.writer.Maker``.

    Args:
        mixture: makes the patches.
        format: of the files.
        quality: of jpeg and webp, 1 to 100.
    """

    def __init__(self, mixture: Mixture, format: Format, quality: int) -> None:
        self.mixture, self.format, self.quality = mixture, format, quality

    def prepare(self) -> None:
        self.mixture.prepare()

    def __call__(self, indices: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        import cv2

        chunk = max(1, _CHUNK_BYTES // (3 * self.mixture.options.size**2))
        quality = {"jpeg": cv2.IMWRITE_JPEG_QUALITY, "webp": cv2.IMWRITE_WEBP_QUALITY}
        flags = [quality[self.format], self.quality] if self.format in quality else []
        for start in range(0, len(indices), chunk):
            part = indices[start : start + chunk]
            for index, patch in zip(part, self.mixture(part), strict=True):
                yield index, encode(cv2.cvtColor(patch, cv2.COLOR_RGB2BGR), f".{self.format}", flags)


def encode(bgr: NDArray[np.uint8], suffix: str, flags: Sequence[int] = ()) -> bytes:
    """One picture, uint8 [H, W, 3], as the content of a file; ``suffix`` and ``flags`` are those of OpenCV."""
    import cv2

    done, data = cv2.imencode(suffix, bgr, flags)
    if not done:
        raise RuntimeError(f"OpenCV could not encode {suffix}")
    return data.tobytes()


LARGEST = 8192
"""Side in pixels; levels of H.264 end near it."""


class ClipFiles:
    """Makes the files of clips, an ``exuno.synth.writer.Maker``.

    Args:
        mixture: makes the clips.
        fps: frames per second.
        crf: x264's constant rate factor, 0 to 51: smaller is better and larger in bytes.

    Raises:
        ExunoError: PyAV is not installed, or the frames have an odd side, or one that is too large.
    """

    def __init__(self, mixture: Mixture, fps: int, crf: int) -> None:
        try:
            import av  # noqa: F401 (told now, not by each process)
        except ImportError:
            raise ExunoError("video files need PyAV, which is not installed", 'pip install "exuno[video]"') from None
        if mixture.options.size % 2 or mixture.options.size > LARGEST:
            raise ExunoError(
                f"--size is {mixture.options.size}",
                f"It has to be even, for MP4 stores colours at half the size of a frame, and at most {LARGEST:,}.",
            )
        self.mixture, self.fps, self.crf = mixture, fps, crf

    def prepare(self) -> None:
        self.mixture.prepare()

    def __call__(self, indices: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        for index in indices:
            yield index, encode_clip(self.mixture([index])[0], self.fps, self.crf)


def encode_clip(frames: NDArray[np.uint8], fps: int, crf: int) -> bytes:
    """Frames uint8 [T, h, w, 3] as the content of an MP4 file (H.264, 4:2:0); equal frames give equal bytes.

    Args:
        frames: RGB; even sides.
        fps: frames per second.
        crf: x264's constant rate factor.
    """
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        # Without B-frames: with them x264's bytes depend on what it encoded before, and frames are not in order.
        stream.options = {"crf": str(crf), "preset": "veryfast", "bf": "0", "threads": "1", "flags": "+bitexact"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


SoundFormat = Literal["wav", "flac"]

BITS = 16
"""Bits of a sample in a file."""

_CHUNK = 128
"""Excerpts made at a time."""


class ExcerptFiles:
    """Makes the files of excerpts, an ``exuno.synth.writer.Maker``.

    Args:
        sampler: makes the excerpts, float32 [N, S] in [-1, 1].
        rate: samples a second.
        format: of the files.

    Raises:
        ExunoError: soundfile is not installed.
    """

    def __init__(self, sampler: Sampling, rate: int, format: SoundFormat) -> None:
        self.sampler, self.rate, self.format = sampler, rate, format
        soundfile()

    def prepare(self) -> None:
        self.sampler.prepare()

    def __call__(self, indices: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        library = soundfile()
        for start in range(0, len(indices), _CHUNK):
            part = indices[start : start + _CHUNK]
            whole = np.rint(self.sampler(part) * 32768).clip(-32768, 32767).astype(np.int16)
            for index, excerpt in zip(part, whole, strict=True):
                file = io.BytesIO()
                library.write(file, excerpt, self.rate, subtype=f"PCM_{BITS}", format=self.format.upper())
                yield index, file.getvalue()


def contact_sheet(patches: NDArray[np.uint8], columns: int = 0, gap: int = 2) -> NDArray[np.uint8]:
    """Patches uint8 [N, h, w, 3] row by row, on white with ``gap`` pixels between them; by default nearly a square."""
    count, height, width, _ = patches.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for number, patch in enumerate(patches):
        top, left = gap + number // columns * (height + gap), gap + number % columns * (width + gap)
        sheet[top : top + height, left : left + width] = patch
    return sheet


def write_contact_sheet(patches: NDArray[np.uint8], out: Path, columns: int = 0) -> None:
    """Write ``contact_sheet`` to ``contact-sheet.png`` in a folder."""
    with atomic(out / "contact-sheet.png") as temporary:
        temporary.write_bytes(encode(contact_sheet(patches, columns)[..., ::-1].copy(), ".png"))
