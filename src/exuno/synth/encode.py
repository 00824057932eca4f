"""Patches as image files."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from exuno.synth.mixture import Mixture

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
