"""Small videos for tests: frame k shows the number 7 k modulo 256, as gray."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

CODECS = {".mp4": "libx264", ".mkv": "libx264", ".mov": "libx264", ".webm": "libvpx-vp9", ".avi": "mpeg4"}
CODECS |= {".m4v": "mpeg4", ".mpg": "mpeg2video", ".ts": "mpeg2video", ".3gp": "mpeg4", ".flv": "flv", ".wmv": "wmv2"}
STEP = 7


def make_video(
    path: Path,
    frames: int = 30,
    rate: int = 10,
    size: tuple[int, int] = (32, 48),
    *,
    times: Sequence[int] | None = None,
    noise: bool = False,
    options: dict[str, str] | None = None,
) -> Path:
    """Writes a video.

    Args:
        path: its suffix tells the container.
        frames: how many.
        rate: frames a second.
        size: (H, W).
        times: when each frame is shown, in milliseconds, in place of the rate.
        noise: whether each frame is noise, which takes many bytes.
        options: of the container.
    """
    av = pytest.importorskip("av")
    random = np.random.default_rng(0)
    base = Fraction(1, rate) if times is None else Fraction(1, 1000)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(CODECS[path.suffix], rate=rate)
        (stream.height, stream.width), stream.pix_fmt, stream.gop_size = size, "yuv420p", 12
        stream.codec_context.time_base, stream.bit_rate = base, 4_000_000
        for number in range(frames):
            pixels = np.full((*size, 3), STEP * number % 256, np.uint8)
            if noise:
                pixels = random.integers(0, 256, (*size, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number if times is None else times[number], base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def turned(path: Path) -> Path:
    """The same mp4 with the note that it is to be shown a quarter turn clockwise, as a telephone held upright writes
    it."""
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40  # version 0: nine numbers after 40 bytes
    one = 1 << 16
    turn = [0, one, 0, -one & 0xFFFFFFFF, 0, 0, 0, 0, 1 << 30]
    content[matrix : matrix + 36] = b"".join(value.to_bytes(4, "big") for value in turn)
    out = path.with_name(f"turned_{path.name}")
    out.write_bytes(content)
    return out


def make_sound_only(path: Path) -> Path:
    """An mp4 with sound and no picture."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
