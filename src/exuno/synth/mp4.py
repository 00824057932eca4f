"""Clips as MP4 files."""

import io
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from exuno.engine.errors import ExunoError
from exuno.synth.mixture import Mixture

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
