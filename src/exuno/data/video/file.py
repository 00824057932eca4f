"""One video file: when which frame is shown, and those frames as pixels. Timestamps decide, frame rates do not."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exuno.engine.errors import ExunoError

SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".f4v", ".avi", ".divx", ".mkv", ".webm"),
    *(".mpg", ".mpeg", ".mpe", ".m2v", ".vob", ".ts", ".mts", ".m2ts", ".mxf"),
    *(".flv", ".wmv", ".asf", ".ogv", ".rm", ".gif"),
)
SHORT = 256
"""Larger frames are reduced to this short side as they are decoded: no published recipe looks at more."""
TOLERANCE = 1e-4
"""Seconds by which a timestamp may be late, because fractions of a second are rounded."""

Source = Path | bytes
Pixels = NDArray[np.uint8]


class Unreadable(Exception):
    """Why no frame of a file can be had, in a few words."""


@dataclass(frozen=True)
class Facts:
    """What is known of a video that was looked at."""

    start: float
    """Timestamp of the first frame in seconds."""
    duration: float
    """Seconds from the beginning of the first frame to the end of the last that is in the file."""
    rate: float
    """Frames a second, on average; for estimates alone."""
    size: tuple[int, int]
    """(H, W) of the frames as they are shown, at most ``SHORT`` on the short side."""

    @property
    def bytes(self) -> int:
        """Of all frames, about."""
        return round(max(1.0, self.duration * self.rate)) * self.size[0] * self.size[1] * 3


def look(source: Source) -> Facts:
    """Decodes the first frame and finds the end, which in a file that was cut off is not where its header says.

    Raises:
        Unreadable: nothing to see in it.
    """
    with _opened(source) as (container, stream):
        first = next(_shown(container, stream), None)
        if first is None:
            raise Unreadable("no frame can be decoded")
        start, frame = first
        size = _turned_size(frame)
        rate = float(stream.average_rate or stream.guessed_rate or 25)
        end = _end(container, stream, rate)
    if end is None:  # no seeking in this file, or nothing where its header sends us
        with _opened(source) as (container, stream):
            end = _last(container, stream, rate)
    return Facts(start, max((end or start) - start, 1 / rate), rate, size)


def frames_at(source: Source, facts: Facts, times: Sequence[float]) -> Pixels:
    """The frames that are shown at ``times``, ascending, in seconds since the first frame: uint8 [T, H, W, 3].

    Before the first frame it is the first, after the last one the last.

    Raises:
        Unreadable: the file is not what it was when it was looked at.
    """
    for seek in (True, False):
        with _opened(source) as (container, stream):
            if seek:
                if times[0] <= 0:
                    continue
                try:
                    container.seek(int((times[0] + facts.start) / stream.time_base), stream=stream)
                except _library().FFmpegError:
                    continue
            found = _pick(_shown(container, stream), [facts.start + time + TOLERANCE for time in times], whole=not seek)
            if found:
                converter, pixels = _converter(), {}
                for frame in found:
                    if id(frame) not in pixels:
                        pixels[id(frame)] = _pixels(frame, facts.size, converter)
                return np.stack([pixels[id(frame)] for frame in found])
    raise Unreadable("no frame can be decoded")


def all_frames(source: Source, facts: Facts) -> tuple[NDArray[np.float64], Pixels]:
    """Timestamps in seconds since the first frame, float64 [T], and frames uint8 [T, H, W, 3].

    Raises:
        Unreadable: no frame could be decoded.
    """
    converter = _converter()
    with _opened(source) as (container, stream):
        found = [
            (time - facts.start, _pixels(frame, facts.size, converter)) for time, frame in _shown(container, stream)
        ]
    if not found:
        raise Unreadable("no frame can be decoded")
    return np.array([time for time, _ in found]), np.stack([frame for _, frame in found])


def _library() -> Any:
    try:
        import av
    except ImportError:
        raise ExunoError("videos need PyAV, which is not installed", "pip install 'exuno[video]'") from None
    return av


def _converter() -> Any:
    return _library().video.reformatter.VideoReformatter()


@contextmanager
def _opened(source: Source) -> Iterator[tuple[Any, Any]]:
    """Container and video stream."""
    av = _library()
    size = len(source) if isinstance(source, bytes) else source.stat().st_size if source.is_file() else None
    if not size:
        raise Unreadable("there is no such file" if size is None else "it has no bytes")
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else str(source)
        container = av.open(file, metadata_errors="ignore")
    except (av.FFmpegError, OSError) as error:
        raise Unreadable(getattr(error, "strerror", None) or type(error).__name__) from None
    with container:
        if not container.streams.video:
            raise Unreadable("no video in it")
        stream = container.streams.video[0]
        try:
            stream.codec_context.thread_count = 1  # several files at once use processors better than one in slices
        except (AttributeError, RuntimeError) as error:  # a codec that this FFmpeg lacks
            raise Unreadable(f"its codec is unknown ({error})") from None
        yield container, stream


def _shown(container: Any, stream: Any) -> Iterator[tuple[float, Any]]:
    """Frames in the order in which they are shown, with their timestamps in seconds; damaged ones are left out."""
    av = _library()
    step, latest = 1 / float(stream.average_rate or 25), None
    try:
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            for frame in frames:
                time = frame.time
                if time is None:  # a container without timestamps
                    time = 0.0 if latest is None else latest + step
                if latest is None or time > latest:
                    latest = time
                    yield time, frame
    except (av.FFmpegError, OSError):
        return  # the end of what is there


def _pick(shown: Iterator[tuple[float, Any]], times: Sequence[float], whole: bool) -> list[Any]:
    """Of each time the latest frame that does not come after it; [] if the first is later, unless that is the
    ``whole`` video."""
    found: list[Any] = []
    last = None
    for time, frame in shown:
        while len(found) < len(times) and time > times[len(found)]:
            if last is None and not whole:
                return []
            found.append(frame if last is None else last)
        if len(found) == len(times):
            return found
        last = frame
    return [] if last is None else found + [last] * (len(times) - len(found))


def _end(container: Any, stream: Any, rate: float) -> float | None:
    """When the last frame ends, in seconds, by a look at the last packets alone."""
    av = _library()
    try:
        if stream.duration:
            container.seek(stream.duration + (stream.start_time or 0), stream=stream)
        elif container.duration:
            container.seek(container.duration)
        else:
            return None
    except (av.FFmpegError, OSError):
        return None
    return _last(container, stream, rate)


def _last(container: Any, stream: Any, rate: float) -> float | None:
    """The same, from here on. The last frame lasts as long as the one before: what packets say of that is not to be
    trusted where frames are stored in another order than shown."""
    av = _library()
    stamps: set[int] = set()
    try:
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None and not packet.is_corrupt:
                stamps.add(packet.pts)
    except (av.FFmpegError, OSError):
        pass
    if not stamps:
        return None
    *before, last = sorted(stamps)
    return float(last * stream.time_base) + (float((last - before[-1]) * stream.time_base) if before else 1 / rate)


def _quarters(frame: Any) -> int:
    """Quarter turns, counter-clockwise, that the file asks for."""
    return round(frame.rotation / 90) % 4


def _turned_size(frame: Any) -> tuple[int, int]:
    scale = min(1.0, SHORT / min(frame.height, frame.width))
    height, width = max(1, round(frame.height * scale)), max(1, round(frame.width * scale))
    return (width, height) if _quarters(frame) % 2 else (height, width)


def _pixels(frame: Any, size: tuple[int, int], converter: Any) -> Pixels:
    """RGB, by one ``converter`` for all frames of a file, which remembers what it needs."""
    quarters = _quarters(frame)
    height, width = size[::-1] if quarters % 2 else size
    way = "AREA" if height < frame.height else "BILINEAR"
    # One thread: for a frame of this size, waking others takes longer than the work.
    rgb = converter.reformat(frame, width, height, "rgb24", interpolation=way, threads=1)
    pixels = rgb.to_ndarray()
    return np.ascontiguousarray(np.rot90(pixels, quarters)) if quarters else pixels
