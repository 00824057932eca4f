"""Excerpts as files."""

import io
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from exuno.data.recording import soundfile
from exuno.synth.interleave import Sampling

Format = Literal["wav", "flac"]

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

    def __init__(self, sampler: Sampling, rate: int, format: Format) -> None:
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
