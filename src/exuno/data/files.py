"""Images in files of their own, of any size."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data.base import Data, Positions
from exuno.data.constants import IMAGENET, PICTURES, Stats
from exuno.data.labels import count_classes
from exuno.data.picture import decode
from exuno.engine.documents import read_bytes

SUFFIXES = frozenset(PICTURES)
PHOTO_SIZE, PHOTO_RESIZE = (224, 224), 256
SMALL = 96
PROBED = 16


class FileData(Data):
    """Image files, decoded when they are fetched: RGB, turned as their EXIF tag says.

    Files that all have one size of at most 96 pixels (16 of them are looked at) keep it as ``image_size``; others are
    taken for
    photographs: 224 pixels, and 256 before the centre crop of a test image. Mean and std are ImageNet's unless given.

    Args:
        name: what to call it.
        root: the folder that ``files`` are relative to.
        files: POSIX paths.
        labels: int64 [N], -1 where there is none.
        classes: names of the classes; None for unlabelled files.
        stats: mean and std of each channel.
        bits: that the numbers of files of more than 8 bits a channel fill, as :func:`exuno.data.picture.decode` has it.

    Raises:
        ExunoError: labels that are no numbers of the classes.
    """

    channels = 3

    def __init__(
        self,
        name: str,
        root: Path,
        files: Sequence[str],
        labels: NDArray[np.int64],
        classes: tuple[str, ...] | None,
        stats: Stats = IMAGENET,
        bits: int | None = None,
    ) -> None:
        count_classes(np.asarray(labels, np.int64), classes, name)
        self.name, self.root, self.files = name, root, list(files)
        self.labels = torch.from_numpy(np.asarray(labels, np.int64))
        self.classes = classes
        self.num_classes = len(classes or ())
        (self.mean, self.std), self.bits = stats, bits
        small = self._one_small_size()
        self.image_size, self.resize = (small, None) if small else (PHOTO_SIZE, PHOTO_RESIZE)

    def _one_small_size(self) -> tuple[int, int] | None:
        from PIL import Image

        sizes = set()
        for file in self.files[:: max(1, len(self.files) // PROBED)]:
            try:
                with Image.open(self.root / file) as image:
                    sizes.add((image.height, image.width))
            except Exception:
                return None  # a broken file gets its message when it is fetched
        size = sizes.pop() if len(sizes) == 1 else None
        return size if size and max(size) <= SMALL else None

    def __len__(self) -> int:
        return len(self.files)

    def read(self, position: int) -> bytes:
        """The bytes of a file."""
        return read_bytes(self.root / self.files[position])

    def decode(self, position: int, content: bytes) -> NDArray[np.uint8]:
        """What the bytes of that file show, uint8 [H, W, 3]."""
        return decode(content, f"'{self.root / self.files[position]}'", self.bits)

    def fetch(self, positions: Positions) -> tuple[list[Tensor], Tensor]:
        images = [
            torch.from_numpy(self.decode(position, self.read(position))).permute(2, 0, 1)
            for position in np.asarray(positions).tolist()
        ]
        return images, self.labels[torch.from_numpy(np.asarray(positions, np.int64))]

    def fingerprint(self) -> str:
        """sha256 of the names, sizes and labels, and the bits; the images themselves are not read."""
        digest = hashlib.sha256(f"@{self.bits}bit".encode() if self.bits else b"")
        for file, label in zip(self.files, self.labels.tolist(), strict=True):
            digest.update(f"{file}\0{(self.root / file).stat().st_size}\0{label}\n".encode())
        return digest.hexdigest()
