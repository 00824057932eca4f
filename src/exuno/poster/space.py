"""The space in which a poster is distilled and tested: images of one size, normalised or whitened."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from exuno.data.base import Data, Positions
from exuno.data.loader import Batch, Loader
from exuno.data.poster import Poster
from exuno.data.whitening import Whitening
from exuno.engine.errors import ExunoError
from exuno.models.classifier import match_channels

CHUNK = 1000


@dataclass(frozen=True)
class Space:
    """Pixels in [0, 1] -> the distilled space."""

    image: tuple[int, int]
    """(h, w)."""
    mean: tuple[float, ...]
    """Of each of the C channels; without effect where images are whitened, but for their number."""
    std: tuple[float, ...]
    whitening: Whitening | None = None

    @classmethod
    def of(cls, poster: Poster) -> "Space":
        """The space of a poster."""
        return cls(poster.layout.image, poster.mean, poster.std, poster.whitening)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 1 or 3, h, w] in [0, 1] -> float32 [B, C, h, w]."""
        pixels = match_channels(pixels, len(self.mean))
        if self.whitening:
            return self.whitening.apply(pixels)
        mean, std = (pixels.new_tensor(values).view(1, -1, 1, 1) for values in (self.mean, self.std))
        return (pixels - mean) / std

    def images(self, data: Data, most: int | None = None) -> tuple[Tensor, Tensor]:
        """All images of a data set, or ``most`` of them spread over it.

        Returns:
            float32 [N, C, h, w] of this space and labels, int64 [N].

        Raises:
            ExunoError: an image has no label.
        """
        places = np.linspace(0, len(data) - 1, min(len(data), most or len(data))).astype(np.int64)
        batches = [pixels(data, self.image, part) for part in np.split(places, range(CHUNK, len(places), CHUNK))]
        labels = torch.cat([batch["labels"] for batch in batches])
        if labels.ndim != 1 or (labels < 0).any():
            raise ExunoError(f"{data.name} is not labelled", "Give labelled images.")
        return torch.cat([self(batch["images"]) for batch in batches]), labels


def pixels(data: Data, size: tuple[int, int], places: Positions) -> Batch:
    """Images and labels at ``places``, int64 [B], resized and centre-cropped: see ``Loader``."""
    return Loader(data, CHUNK, None, size=size, shuffle=False, drop_last=False).preparer[places, places]


def memory_limit(space: Space, limit: int = 1 << 30) -> int:
    """How many images of a space take ``limit`` bytes."""
    return max(1, limit // (4 * len(space.mean) * space.image[0] * space.image[1]))
