"""Quarter turns of a class as further classes (Santoro et al., ICML 2016, for Omniglot)."""

import hashlib

import numpy as np
import torch
from torch import Tensor

from exuno.data.base import Data, Images, Positions
from exuno.data.subset import labels_of, names_of
from exuno.engine.errors import ExunoError

TURNS = 4


class TurnedData(Data):
    """4N images of 4C classes: image ``k N + i`` is image i turned by k quarters, counter-clockwise, and its class is
    ``k C`` + that of image i; turned when fetched.

    Raises:
        ExunoError: for unlabelled images, and images that are not square.
    """

    def __init__(self, data: Data) -> None:
        labels = torch.from_numpy(labels_of(data))
        self.data, self.name = data, f"{data.name} turned"
        own = names_of(data)
        self.classes = tuple(f"{name} turned {90 * k}" if k else name for k in range(TURNS) for name in own)
        self.num_classes = len(self.classes)
        self.labels = torch.cat([labels + k * len(own) for k in range(TURNS)])
        self.image_size, self.resize, self.channels = data.image_size, data.resize, data.channels
        self.mean, self.std = data.mean, data.std
        if self.image_size[0] != self.image_size[1]:
            raise ExunoError(f"the images of {data.name} are not square", "Leave out --turns.")
        if data.whitening is not None:
            raise ExunoError(f"{data.name} is whitened, which a turn would undo", "Turn the images before.")

    def __len__(self) -> int:
        return len(self.labels)

    def fetch(self, positions: Positions) -> tuple[Images, Tensor]:
        chosen = np.asarray(positions, np.int64)
        turns, inside = np.divmod(chosen, len(self.data))
        images, _ = self.data.fetch(inside)
        turned = [torch.rot90(image, k, (-2, -1)) for image, k in zip(images, turns.tolist(), strict=True)]
        together = isinstance(images, Tensor) and len(turned)
        return torch.stack(turned) if together else turned, self.labels[torch.from_numpy(chosen)]

    def fingerprint(self) -> str:
        """sha256 of that of the images as they were, and that they were turned."""
        return hashlib.sha256(f"{self.data.fingerprint()} turned".encode()).hexdigest()
